"""Evand: the shared suite, the two hosts, the error table, and the flows with a code that the provider checks."""

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from werkzeug.test import Client

from phone_verify.codes import Keyring
from phone_verify.drivers.base import Starts
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.evand import Evand
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Assurance, Channel, CodeSource, Order, Outcome, Reason, Started, Status
from phone_verify.parts import Components
from phone_verify.phone import PhoneNumber
from phone_verify.policy import Policy
from phone_verify.routing import Router
from phone_verify.sandbox import Fault, Network, Sandbox
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.drivers import DriverSuite, overhear
from phone_verify.testing.transport import Answer, FakeTransport
from phone_verify.verifier.blocking import Verifier
from tests.cases import in_one_test

PHONE = PhoneNumber("+989140000000")
ORDER = Order(PHONE, Channel.SMS, timedelta(seconds=120))
RIGHT, WRONG = "12345", "54321"


class TestEvand(DriverSuite):
    driver = Evand
    dsn = "evand://FAKE%2Fclient:FAKE%2Bsecret%3A1@127.0.0.1:8025/base?tls=off&event_id=1001"
    variants = ("foreign=digits", "auth_prefix=", "mobile_field=phone&name=evand-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "evand"
    phone, abroad = "+989140000000", "+79000000000"


def load(place: str = "default", options: str = "event_id=1001") -> Evand:
    driver = load_driver(parse_dsn(f"evand://FAKE-ID:FAKE-SECRET@{place}?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Evand)
    return driver


def answer(status: int, body: object = None) -> HttpResponse:
    return HttpResponse(status, {}, b"" if body is None else json.dumps(body).encode())


CLIENT_TOKEN = answer(200, {"access_token": "FAKE.CLIENT.TOKEN", "token_type": "Bearer", "expires_in": 3600})
USER_TOKEN = answer(200, {"access_token": "FAKE.USER.TOKEN", "refresh_token": "FAKE.REFRESH.TOKEN"})
WRONG_CODE = answer(400, {"error": "invalid_grant", "message": "The code is wrong."})
DOWN = ProviderError(FailureKind.TRANSIENT, "cannot connect")


# The DSN


def addresses(driver: Evand) -> list[str]:
    """The requests of a whole verification: the site's token, the send, the participant's token."""
    _, sent = overhear(driver.start(ORDER), [CLIENT_TOKEN, answer(204)])
    _, checked = overhear(driver.check(PHONE, RIGHT), [USER_TOKEN])
    return [request.url for request in [*sent, *checked] if isinstance(request, HttpRequest)]


@pytest.mark.parametrize(
    ("place", "tokens", "sends"),
    [
        ("default", "https://connect.evand.com", "https://api.evand.com"),
        ("default/x", "https://connect.evand.com/x", "https://api.evand.com/x"),
        ("default:8443", "https://connect.evand.com:8443", "https://api.evand.com:8443"),
        ("relay.example/x", "https://relay.example/x", "https://relay.example/x"),
        ("api.evand.com", "https://api.evand.com", "https://api.evand.com"),
        ("connect.evand.com", "https://connect.evand.com", "https://connect.evand.com"),
        ("[::1]:8025/x/", "https://[::1]:8025/x", "https://[::1]:8025/x"),
    ],
)
def test_default_is_two_hosts_and_a_named_host_is_one(place: str, tokens: str, sends: str) -> None:
    token = f"{tokens}/api/oauth2/token"
    assert addresses(load(place)) == [token, f"{sends}/mobile/verification-codes", token]


@pytest.mark.parametrize("options", ["", "?timeout=5", "?event_id=", "?event_id=%20"])
def test_event_option_is_required(options: str) -> None:
    with pytest.raises(ConfigurationError, match=r"PHONE_VERIFY_SMS.*event_id") as raised:
        load_driver(parse_dsn(f"evand://FAKE-ID:FAKE-SECRET@default{options}", "PHONE_VERIFY_SMS"))
    assert "FAKE" not in str(raised.value)


@pytest.mark.parametrize("option", ["auth_prefix=a%20b", "auth_prefix=%D8%B1", "mobile_field=", "mobile_field=a.b"])
def test_options_unfit_for_a_header_or_field_are_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"PHONE_VERIFY_SMS.*{option.partition('=')[0]}"):
        load(options=f"event_id=1001&{option}")


@pytest.mark.parametrize("credentials", ["FAKE-ID", "FAKE-ID:", ":FAKE-SECRET"])
def test_id_and_secret_are_both_required(credentials: str) -> None:
    with pytest.raises(ConfigurationError, match="CLIENT_ID:CLIENT_SECRET@"):
        load_driver(parse_dsn(f"evand://{credentials}@default?event_id=1001", "PHONE_VERIFY_SMS"))


def test_code_has_five_digits_for_two_minutes() -> None:
    ability = load().abilities[Channel.SMS]
    assert (ability.code_source, ability.fixed_length, ability.cap) == (
        CodeSource.REMOTE_CHECK,
        5,
        timedelta(seconds=120),
    )


# The error table


#: Status and body, and their meaning for each of the three requests. `false` is a wrong code.
TABLE = [
    (401, {"error": "invalid_client", "message": "m"}, "configuration", "configuration", "configuration"),
    (400, {"error": "invalid_client", "message": "m"}, "configuration", "configuration", "configuration"),
    (400, {"error": "unsupported_grant_type"}, "configuration", "configuration", "configuration"),
    (400, {"error": "unauthorized_client"}, "configuration", "configuration", "configuration"),
    (422, {"error": "invalid_scope"}, "configuration", "configuration", "configuration"),
    (400, {"error": "invalid_grant", "message": "m"}, "unknown", "unknown", "false"),
    (422, {"error": "invalid_grant", "message": "m"}, "unknown", "unknown", "false"),
    (422, {"message": "The mobile is invalid."}, "unknown", "bad_number", "false"),
    (422, {"message": "The event_id field is required."}, "unknown", "unknown", "false"),
    (422, {"message": ["mobile", "invalid"], "error": {"mobile": "invalid"}}, "unknown", "unknown", "false"),
    (401, {"message": "Unauthenticated."}, "configuration", "configuration", "configuration"),
    (402, None, "balance", "balance", "balance"),
    (403, None, "configuration", "configuration", "configuration"),
    (404, None, "unknown", "unknown", "unknown"),
    (429, {"message": "m"}, "rate", "rate", "rate"),
    (500, None, "transient", "transient", "transient"),
    (503, {"access_token": "FAKE.TOKEN"}, "transient", "transient", "transient"),
    (302, {"access_token": "FAKE.TOKEN"}, "unknown", "unknown", "unknown"),
]


@in_one_test
@pytest.mark.parametrize(("status", "body", "token", "send", "check"), TABLE)
def test_every_status_is_mapped_at_every_request(status: int, body: object, token: str, send: str, check: str) -> None:
    driver, refused = load(), answer(status, body)
    meanings = [
        overhear(driver.start(ORDER), [refused])[0],
        overhear(driver.start(ORDER), [CLIENT_TOKEN, refused] * 2)[0],
        overhear(driver.check(PHONE, RIGHT), [refused])[0],
    ]
    told = [str(m.trouble) if isinstance(m, ProviderError) else str(m).lower() for m in meanings]
    assert told == [token, send, check]


@in_one_test
@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        ("شماره نامعتبر است", "bad_number"),
        ("تلفن معتبر نیست", "bad_number"),
        ("موبایل معتبر نمی‌باشد", "bad_number"),
        ("شماره اشتباه است", "bad_number"),
        ("شماره نادرست است", "bad_number"),
        ("شماره صحیح نیست", "bad_number"),
        ("phone is incorrect", "bad_number"),
        ("number is wrong", "bad_number"),
        ("the mobile is not valid", "bad_number"),
        ("شماره الزامی است", "unknown"),
        ("نامعتبر است", "unknown"),
        ("automobile invalid", "unknown"),
        ("the mobile was invalidated", "unknown"),
    ],
)
def test_422_blames_the_number_only_if_it_says_so(message: str, trouble: str) -> None:
    result, _ = overhear(load().start(ORDER), [CLIENT_TOKEN, answer(422, {"message": message})])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


def test_fresh_token_is_requested_once() -> None:
    result, asked = overhear(load().start(ORDER), [CLIENT_TOKEN, answer(401)] * 9)
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind.CONFIGURATION
    assert len(asked) == 4


def test_no_error_holds_the_token() -> None:
    said = answer(422, {"error": "FAKE.CLIENT.TOKEN", "message": "The mobile is invalid for FAKE.CLIENT.TOKEN"})
    result, _ = overhear(load().start(ORDER), [CLIENT_TOKEN, said])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind.BAD_NUMBER
    assert "CLIENT.TOKEN" not in str(result)
    assert "HTTP 422" in result.detail


# The flows, through the verifier


class Site:
    """A verifier over the real driver, prepared responses, and a clock."""

    def __init__(self, *answers: Answer, dsns: Sequence[str] = (), max_failures: int = 20) -> None:
        self.clock, self.transport = ManualClock(), FakeTransport(answers)
        drivers: list[Starts] = [load()]
        drivers += [load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS")) for dsn in dsns]
        self.verifier = Verifier(
            Components(
                policy=Policy(max_failures=max_failures),
                keyring=Keyring(["k-key-for-tests-0123456789abcdef"]),
                store=MemoryStore(),
                transport=self.transport,
                router=Router({Channel.SMS: drivers}, ticks=lambda: 0.0),
                texts=lambda channel, code, *_: code,
                clock=self.clock,
                ticks=lambda: self.clock().timestamp(),
            )
        )
        self.id = self.secret = ""

    def begin(self, user_token: str | None = None, options: dict[str, str] | None = None) -> Outcome:
        outcome = self.verifier.start(PHONE, user_token=user_token, options=options)
        assert isinstance(outcome, Started)
        self.id, self.secret = outcome.verification.id, outcome.secret
        return outcome

    def check(self, code: str, *answers: Answer) -> Outcome:
        self.transport.answers.extend(answers)
        return self.verifier.check(self.id, self.secret, code)


def left(outcome: Outcome) -> tuple[Reason | None, Status, int]:
    assert outcome.verification is not None
    return outcome.reason, outcome.verification.state, outcome.verification.attempts_left


def begun() -> Site:
    site = Site(CLIENT_TOKEN, answer(200, {"data": {}}))
    assert site.begin().ok
    return site


def test_start_to_verification_works() -> None:
    site = Site(CLIENT_TOKEN, answer(200, {"data": {}}))
    record = site.begin().verification
    assert record is not None
    assert (record.status, record.code_source, record.code_length) == (Status.SENT, CodeSource.REMOTE_CHECK, 5)
    assert record.expires_at - record.created_at == timedelta(seconds=120)
    assert left(site.check(WRONG, WRONG_CODE)) == (Reason.WRONG_CODE, Status.SENT, 2)
    outcome = site.check(RIGHT, USER_TOKEN)
    assert left(outcome) == (None, Status.VERIFIED, 1)
    redeemed = site.verifier.redeem(outcome.proof or "", [site.secret], ["login"])
    assert redeemed is not None
    assert (redeemed.phone, redeemed.assurance) == (PHONE, Assurance.CODE)
    assert site.check(RIGHT).reason is Reason.CLOSED


def test_driver_works_against_the_sandbox() -> None:
    site = Site()
    provider = Sandbox(Network(now=site.clock))

    def ask(request: HttpRequest) -> HttpResponse:
        place = request.url.partition(".com")[2]
        response = Client(provider).post(place, data=request.body, headers=dict(request.headers))
        return HttpResponse(response.status_code, {}, response.data)

    provider.faults.put("evand", PHONE.e164, Fault(refuse="bad_token", times=1))
    site.transport.answers = [ask] * 4
    assert site.begin().ok
    handset = provider.network.handset(PHONE.e164)
    assert handset is not None
    code = handset.messages[0].code
    wrong = WRONG if code != WRONG else RIGHT
    assert left(site.check(wrong, ask)) == (Reason.WRONG_CODE, Status.SENT, 2)
    assert left(site.check(code, ask)) == (None, Status.VERIFIED, 1)


def test_wrong_code_counts_as_a_failure_of_the_phone() -> None:
    site = Site(CLIENT_TOKEN, max_failures=2)
    for _ in range(2):
        site.transport.answers.append(answer(204))
        site.begin()
        assert site.check(WRONG, WRONG_CODE).reason is Reason.WRONG_CODE
        site.clock.move(60)
    asked = len(site.transport.requests)
    assert site.verifier.start(PHONE).reason is Reason.TOO_MANY_REQUESTS
    assert site.check(RIGHT, USER_TOKEN).reason is Reason.TOO_MANY_REQUESTS
    assert len(site.transport.requests) == asked


@pytest.mark.parametrize(
    "trouble",
    [answer(503), answer(429), answer(401, {"error": "invalid_client"}), answer(200, {}), DOWN, UnclearError("late")],
    ids=["503", "429", "client", "no token", "down", "time-out"],
)
def test_provider_outage_spends_only_the_attempt(trouble: Answer) -> None:
    site = begun()
    assert left(site.check(RIGHT, trouble)) == (Reason.PROVIDER_UNAVAILABLE, Status.SENT, 2)
    outcome = site.check(RIGHT, USER_TOKEN)
    assert left(outcome) == (None, Status.VERIFIED, 1)
    assert outcome.proof


def test_last_wrong_attempt_exhausts_the_code() -> None:
    site = begun()
    for attempts in (2, 1):
        assert left(site.check(WRONG, WRONG_CODE)) == (Reason.WRONG_CODE, Status.SENT, attempts)
    assert left(site.check(WRONG, WRONG_CODE)) == (Reason.WRONG_CODE, Status.EXHAUSTED, 0)
    asked = len(site.transport.requests)
    assert site.check(RIGHT, USER_TOKEN).reason is Reason.CLOSED
    assert len(site.transport.requests) == asked


def test_last_attempt_may_be_right() -> None:
    site = begun()
    for _ in range(2):
        site.check(WRONG, WRONG_CODE)
    assert left(site.check(RIGHT, USER_TOKEN)) == (None, Status.VERIFIED, 0)


def test_last_attempt_during_a_provider_outage_exhausts() -> None:
    site = begun()
    for _ in range(2):
        site.check(WRONG, WRONG_CODE)
    assert left(site.check(RIGHT, DOWN)) == (Reason.PROVIDER_UNAVAILABLE, Status.EXHAUSTED, 0)
    assert site.check(RIGHT, USER_TOKEN).reason is Reason.CLOSED


@pytest.mark.parametrize("typed", ["", "1234", "123456", "abcde"])
def test_malformed_code_is_not_forwarded(typed: str) -> None:
    site = begun()
    assert left(site.check(typed)) == (Reason.MALFORMED_CODE, Status.SENT, 3)


def test_digits_of_another_script_are_forwarded_as_ascii() -> None:
    site = begun()
    assert site.check("۱۲ ۳۴۵", USER_TOKEN).ok
    assert json.loads(site.transport.requests[-1].body or b"")["mobile_verification_code"] == RIGHT


def test_expired_code_is_not_sent_to_the_provider() -> None:
    site = begun()
    site.clock.move(120)
    assert site.check(RIGHT).reason is Reason.CLOSED


def test_unclear_send_stays_usable() -> None:
    site = Site(CLIENT_TOKEN, UnclearError("time-out"), dsns=["amoot://FAKE-TOKEN@default"])
    outcome = site.begin()
    assert left(outcome) == (None, Status.PENDING, 3)
    assert len(site.transport.requests) == 2
    assert left(site.check(WRONG, WRONG_CODE)) == (Reason.WRONG_CODE, Status.PENDING, 2)
    assert left(site.check(RIGHT, USER_TOKEN)) == (None, Status.VERIFIED, 1)


@pytest.mark.parametrize("lost", [UnclearError("time-out"), DOWN], ids=["time-out", "down"])
@pytest.mark.parametrize("before", [[], [CLIENT_TOKEN, answer(401)]], ids=["first", "fresh"])
def test_missing_token_fails_over_to_the_next_driver(before: list[Answer], lost: Answer) -> None:
    """Nothing was sent yet, so no message is paid twice."""
    site = Site(*before, lost, answer(200, {"Status": "Success"}), dsns=["amoot://FAKE-TOKEN@default"])
    record = site.begin().verification
    assert record is not None
    assert (record.driver, record.status) == ("amoot", Status.SENT)
    assert "amootsms" in site.transport.requests[-1].host


def test_lost_token_is_reported_as_such() -> None:
    result, _ = overhear(
        load().start(ORDER), [UnclearError("no complete response: connect.evand.com timed out after 10 s")]
    )
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind.TRANSIENT
    assert "connect.evand.com" in result.detail


def test_user_token_replaces_the_sites() -> None:
    site = Site(answer(204))
    assert left(site.begin(user_token="FAKE.USER.TOKEN")) == (None, Status.SENT, 3)
    (sent,) = site.transport.requests
    assert sent.headers["Authorization"] == "Bearer FAKE.USER.TOKEN"
    assert left(site.check(RIGHT, USER_TOKEN)) == (None, Status.VERIFIED, 2)


def test_user_token_is_used_for_a_resend() -> None:
    site = begun()
    site.clock.move(60)
    site.transport.answers = [answer(204)]
    assert site.verifier.resend(site.id, site.secret, user_token="FAKE.USER.TOKEN").ok
    assert site.transport.requests[-1].headers["Authorization"] == "Bearer FAKE.USER.TOKEN"


def test_expired_user_token_falls_back_to_the_sites() -> None:
    site = Site(answer(401), CLIENT_TOKEN, answer(204))
    assert left(site.begin(user_token="FAKE.USER.TOKEN")) == (None, Status.SENT, 3)
    headers = [request.headers.get("Authorization") for request in site.transport.requests]
    assert headers == ["Bearer FAKE.USER.TOKEN", None, "Bearer FAKE.CLIENT.TOKEN"]


def authorizations(site: Site) -> list[str | None]:
    return [request.headers.get("Authorization") for request in site.transport.requests]


def test_token_is_kept_for_its_lifetime() -> None:
    site = Site(CLIENT_TOKEN, answer(204), answer(204))
    for _ in range(2):
        assert site.begin().ok
        site.clock.move(60)
    assert authorizations(site) == [None, *["Bearer FAKE.CLIENT.TOKEN"] * 2]
    site.clock.move(3600 - 120 - 30)
    site.transport.answers = [CLIENT_TOKEN, answer(204)]
    assert site.begin().ok
    assert len(site.transport.requests) == 5


@pytest.mark.parametrize("expires_in", [None, 0, -5, "3600", True, 1.5])
def test_token_without_a_known_lifetime_is_not_kept(expires_in: object) -> None:
    token = answer(200, {"access_token": "FAKE.CLIENT.TOKEN", "expires_in": expires_in})
    site = Site(*[token, answer(204)] * 2)
    for _ in range(2):
        assert site.begin().ok
        site.clock.move(60)
    assert len(site.transport.requests) == 4


def test_kept_token_that_is_refused_is_replaced() -> None:
    other = answer(200, {"access_token": "FAKE.OTHER.TOKEN", "expires_in": 3600})
    site = Site(CLIENT_TOKEN, answer(204), answer(401), other, answer(204), answer(204))
    for _ in range(3):
        assert site.begin().ok
        site.clock.move(60)
    assert authorizations(site)[2:] == ["Bearer FAKE.CLIENT.TOKEN", None, *["Bearer FAKE.OTHER.TOKEN"] * 2]


def events_of(site: Site) -> list[object]:
    """Return the events that the exchanges named."""
    bodies = [json.loads(request.body or b"") for request in site.transport.requests]
    return [body["event_id"] for body in bodies if "event_id" in body]


def test_event_of_a_start_replaces_the_dsns() -> None:
    site = Site(CLIENT_TOKEN, answer(204))
    assert site.begin(options={"event_id": "2002"}).ok
    site.clock.move(60)
    site.transport.answers.append(answer(204))
    assert site.verifier.resend(site.id, site.secret).ok
    assert left(site.check(RIGHT, USER_TOKEN)) == (None, Status.VERIFIED, 2)
    assert events_of(site) == ["2002"]
    site.transport.answers.append(answer(204))
    assert site.begin().ok
    assert left(site.check(RIGHT, USER_TOKEN)) == (None, Status.VERIFIED, 2)
    assert events_of(site) == ["2002", "1001"]


def test_event_of_a_start_survives_an_unclear_send() -> None:
    site = Site(CLIENT_TOKEN, UnclearError("late"))
    assert left(site.begin(options={"event_id": "2002"})) == (None, Status.PENDING, 3)
    assert left(site.check(RIGHT, USER_TOKEN)) == (None, Status.VERIFIED, 2)
    assert events_of(site) == ["2002"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"event": "2002"}, "no configured driver accepts 'event'; accepted: event_id"),
        ({"event_id": ""}, "event_id: write the id of the event"),
        ({"event_id": "a b"}, "event_id: write the id of the event"),
        ({"event_id": "1" * 65}, "event_id: write the id of the event"),
    ],
)
def test_invalid_option_of_a_start_sends_nothing(options: dict[str, str], says: str) -> None:
    site = Site()
    with pytest.raises(ValueError, match=says):
        site.begin(options=options)
    assert site.transport.requests == []


def test_other_drivers_receive_no_option() -> None:
    amoot = answer(200, {"Status": "Success", "Data": None})
    site = Site(answer(401), amoot, dsns=["amoot://FAKE-TOKEN@default"])
    assert site.begin(options={"event_id": "2002"}).ok
    other = site.transport.requests[-1]
    assert "amootsms" in other.host
    assert "2002" not in f"{other.url} {other.headers} {other.body!r}"


def test_user_token_never_appears_in_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = "FAKE.USER+TOKEN/1"
    spoken = answer(422, {"error": token, "message": f"{token} FAKE.USER%2BTOKEN%2F1"})
    amoot = answer(200, {"Status": "Success", "Data": None})
    site = Site(spoken, amoot, dsns=["amoot://FAKE-TOKEN@default"])
    outcome = site.begin(user_token=token)
    assert "did not accept an order" in caplog.text
    order = Order(PHONE, Channel.SMS, ORDER.ttl, user_token=token)
    shown = "".join(map(repr, (outcome, site.transport.requests, order))) + caplog.text
    assert "USER" not in shown
    other = site.transport.requests[-1]
    assert "amootsms" in other.host
    assert "USER" not in f"{other.url} {other.headers} {other.body!r}"


def test_resend_requests_another_code_and_resets_nothing() -> None:
    site = begun()
    site.check(WRONG, WRONG_CODE)
    site.clock.move(60)
    site.transport.answers = [answer(204)]
    assert site.verifier.resend(site.id, site.secret).ok
    assert left(site.check(WRONG, WRONG_CODE)) == (Reason.WRONG_CODE, Status.SENT, 1)
    assert left(site.check(RIGHT, USER_TOKEN)) == (None, Status.VERIFIED, 0)


@pytest.mark.parametrize("refused", [[answer(401)], [answer(200, {})], [CLIENT_TOKEN, answer(429)], [DOWN]])
def test_refusal_fails_over(refused: list[Answer]) -> None:
    amoot = answer(200, {"Status": "Success"})
    site = Site(*refused, amoot, dsns=["amoot://FAKE-TOKEN@default"])
    record = site.begin().verification
    assert record is not None
    assert (record.driver, record.code_source) == ("amoot", CodeSource.LOCAL)


def test_bad_number_is_not_failed_over() -> None:
    bad = answer(422, {"message": "The mobile is invalid."})
    site = Site(CLIENT_TOKEN, bad, dsns=["amoot://FAKE-TOKEN@default"])
    assert site.verifier.start(PHONE).reason is Reason.DELIVERY_FAILED
    assert len(site.transport.requests) == 2


def test_log_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site = begun()
    spoken = "FAKE-ID FAKE-SECRET 9140000000 12345"
    site.check(RIGHT, answer(401, {"error": "invalid_client", "message": spoken}))
    assert "invalid client" in caplog.text.replace("_", " ")
    for secret in (*spoken.split(), PHONE.e164):
        assert secret not in caplog.text
