"""A phone as django-otp's second factor: its own device suites, its forms, its admin site."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django_otp import DEVICE_ID_SESSION_KEY, match_token, verify_token
from django_otp.forms import OTPAuthenticationForm
from django_otp.test_utils import CooldownTestMixin, ThrottlingTestMixin, TimestampTestMixin
from django_otp.test_utils import TestCase as OtpTestCase

from phone_verify import ClientFacts, InvalidPhoneError, PhoneNumber, Refusal, SendOrder
from phone_verify.exchange import HttpResponse
from phone_verify.external.forms import PendingVerification
from phone_verify_django.models import PhoneRow, VerificationRow, VerifiedPhone
from phone_verify_django.otp import challenges, current, first_factor
from phone_verify_django.otp.models import NO_SESSION, ChallengeError, PhoneDevice
from phone_verify_django.site import current_site
from phone_verify_django.testing import override
from tests import forks

from .conftest import PHONE, Network
from .factories import request_of
from .settings import SECRET_KEY

ROOT = Path(__file__).parents[2]
OTHER = "+989120000001"
PASSWORD = "a password of nobody's"
Configure = Callable[..., None]

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.django_adapter.admin_urls")]


# django-otp's tests of a device. They move the time of the whole process, so the store uses it too.


class ADevice:
    """The hooks that its suites require."""

    network: Network
    device: Any

    @pytest.fixture(autouse=True)
    def _site(self, settings: Any) -> Iterator[None]:
        settings.PHONE_VERIFY = {"sms": "console://", "resend_after": 10}
        type(self).network = Network()
        with override(transport=self.network.transport), current.serving(request_of()):
            yield

    def setUp(self) -> None:
        self.device = User.objects.create_user("alice").phone_verify_devices.create(phone=PHONE)

    def valid_token(self) -> str:
        if not self.network.sent:
            self.device.generate_challenge()
        return self.network.code

    def invalid_token(self) -> int:
        return -1


class TestThrottling(ADevice, ThrottlingTestMixin, OtpTestCase):
    """Wrong codes are counted where a code was requested; otherwise there is nothing to guess."""

    def setUp(self) -> None:
        super().setUp()
        self.device.generate_challenge()


class TestCooldown(ADevice, CooldownTestMixin, OtpTestCase):
    pass


class TestTimestamps(ADevice, TimestampTestMixin, OtpTestCase):
    pass


# Our tests.


@pytest.fixture(autouse=True)
def _passwords(settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, "django.contrib.auth.backends.ModelBackend"]


@pytest.fixture(autouse=True)
def session() -> Iterator[Any]:
    """The session of the request that a test represents; requests of a browser have separate ones."""
    request = request_of()
    with current.serving(request):
        yield request.session


def secret_of(device: PhoneDevice, session: Any) -> str:
    """Return the half of the binding that is in the session."""
    return str(session[challenges.SESSION_KEY][str(device.pk)])


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password=PASSWORD)


@pytest.fixture
def device(alice: User, network: Network) -> PhoneDevice:
    return PhoneDevice.objects.create(user=alice, phone=PHONE)


def rested(device: PhoneDevice) -> PhoneDevice:
    """The device as if its cool-down and throttling had expired: django-otp reads the time of the process."""
    PhoneDevice.objects.update(
        last_generated_timestamp=None, throttling_failure_timestamp=None, throttling_failure_count=0
    )
    device.refresh_from_db()
    return device


def test_code_is_sent_and_verifies_once(device: PhoneDevice, network: Network, alice: User) -> None:
    assert device.is_interactive()
    assert device.generate_challenge() == "We sent a code to +98 ••••••••00"
    assert network.sent == 1
    assert verify_token(alice, device.persistent_id, network.wrong) is None
    rested(device)
    assert verify_token(alice, device.persistent_id, network.code) == device
    assert verify_token(alice, device.persistent_id, network.code) is None
    assert VerificationRow.objects.get().purpose == "second_factor"
    assert VerificationRow.objects.get().redeemed


def test_digits_of_any_script_are_accepted(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    assert device.verify_token(network.code.translate({48 + n: 0x06F0 + n for n in range(10)}))


@pytest.mark.parametrize("typed", ["", "12", "x" * 5000, "²²²²²²", "\0", None, 0, "123456\n654321"])
def test_malformed_code_verifies_nothing_and_spends_nothing(
    device: PhoneDevice, network: Network, typed: object
) -> None:
    device.generate_challenge()
    assert not device.verify_token(typed)
    assert VerificationRow.objects.get().attempts_left == 5


def test_site_decides_before_a_challenge_is_sent(device: PhoneDevice, network: Network, configure: Configure) -> None:
    asked = []

    def refuse(order: SendOrder, client: ClientFacts) -> Refusal | None:
        asked.append(order)
        return Refusal("Not today.")

    configure(sms="console://", before_send=refuse)
    with pytest.raises(ChallengeError, match=r"Not today\."):
        device.generate_challenge()
    assert network.sent == 0
    assert [(order.purpose, order.phone.e164, order.by_client) for order in asked] == [("second_factor", PHONE, False)]


def test_nothing_verifies_without_a_challenge(device: PhoneDevice) -> None:
    for typed in ("", "000000"):
        assert not device.verify_token(typed)
    assert PhoneDevice.objects.get().throttling_failure_count == 0, "there was nothing to guess"


def test_device_row_holds_no_code(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    row = PhoneDevice.objects.values().get()
    assert network.code not in str(row)
    assert PHONE not in repr(device)


def test_second_challenge_repeats_the_code(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    first, rows = network.code, device.challenges
    assert not device.verify_token(network.wrong)
    assert "Try again in" in device.generate_challenge()
    assert network.sent == 1
    network.clock.move(60)
    rested(device).generate_challenge()
    assert network.sent == 2
    assert (network.code, device.challenges) == (first, rows)
    assert VerificationRow.objects.get().attempts_left == 4
    assert device.verify_token(first)


def test_expired_challenge_is_replaced(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    first = network.code
    network.clock.move(301)
    assert not device.verify_token(first)
    device.generate_challenge()
    assert network.code != first, "without the cool-down, which is for codes that can still be used"
    assert "Try again in" in device.generate_challenge()
    assert rested(device).verify_token(network.code)


def test_login_form_requests_a_code_again_after_expiry(device: PhoneDevice, network: Network) -> None:
    fields = {"username": "alice", "password": PASSWORD, "otp_device": device.persistent_id}
    assert not OTPAuthenticationForm(None, {**fields, "otp_challenge": "1"}).is_valid()
    network.clock.move(301)
    assert not OTPAuthenticationForm(None, {**fields, "otp_token": network.code}).is_valid()
    form = OTPAuthenticationForm(None, {**fields, "otp_challenge": "1"})
    assert not form.is_valid()
    assert "We sent a code to +98 ••••••••00" in str(form.errors)
    rested(device)
    assert OTPAuthenticationForm(None, {**fields, "otp_token": network.code}).is_valid()


def test_site_limits_apply_too(device: PhoneDevice, network: Network, configure: Configure) -> None:
    """Even if django-otp's counters are reset: the phone's failures and sends are counted in the store."""
    configure(sms="console://", max_failures=4, sends_per_hour=3)
    device.generate_challenge()
    for _ in range(4):
        assert not rested(device).verify_token(network.wrong)
    assert not rested(device).verify_token(network.code)
    network.clock.move(3601)
    for _ in range(3):
        network.clock.move(301)
        rested(device).generate_challenge()
    network.clock.move(301)
    with pytest.raises(ChallengeError, match=r"^You can't get another code yet\. Try again in"):
        rested(device).generate_challenge()


def test_wrong_otp_answer_locks_no_login(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    device.verify_token(network.wrong)
    assert list(PhoneRow.objects.get().failures) == ["second_factor"]


def test_code_is_bound_to_the_user_of_the_device(device: PhoneDevice, network: Network, alice: User) -> None:
    device.generate_challenge()
    keyring = current_site().verifier.flows.keyring
    assert VerificationRow.objects.get().subject == keyring.subject(str(alice.pk))
    device.user = User.objects.create_user("bob")
    assert not device.verify_token(network.code)


def test_wrong_codes_count_for_the_address(device: PhoneDevice, network: Network, configure: Configure) -> None:
    configure(sms="console://", wrong_per_hour_per_address=1)
    request = request_of()
    request.META["REMOTE_ADDR"] = "192.0.2.1"
    with current.serving(request):
        device.generate_challenge()
        assert not device.verify_token(network.wrong)
        assert not rested(device).verify_token(network.code)
        network.clock.move(301)
        with pytest.raises(ChallengeError, match="Try again in"):
            rested(device).generate_challenge()
    network.clock.move(3600)
    with current.serving(request):
        rested(device).generate_challenge()
        assert device.verify_token(network.code)


@pytest.mark.parametrize(("confirmed", "sends"), [(True, 5), (False, 4)])
def test_unconfirmed_device_leaves_the_reserved_fifth(
    device: PhoneDevice, network: Network, configure: Configure, confirmed: bool, sends: int
) -> None:
    configure(sms="console://", sends_per_hour_total=5, sends_per_hour=0)
    PhoneDevice.objects.update(confirmed=confirmed)
    made = 0
    with suppress(ChallengeError):
        for _ in range(6):
            network.clock.move(400)
            rested(device).generate_challenge()
            made += 1
    assert made == sends


def test_login_code_is_not_a_second_factor(device: PhoneDevice, network: Network, visitor: Any, session: Any) -> None:
    visitor.call("POST", "v1/verifications", {"phone": PHONE})
    assert not device.verify_token(network.code)
    device = rested(device)
    device.generate_challenge()
    row = VerificationRow.objects.get(purpose="second_factor")
    secret = secret_of(device, session)
    checked = visitor.call("POST", f"v1/verifications/{row.id}/check", {"code": network.code}, secret=secret)
    assert visitor.call("POST", "v1/session", {"proof": checked.json()["proof"]}, secret=secret).status == 400


def test_changed_number_verifies_nothing(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    PhoneDevice.objects.update(phone=OTHER)
    device.refresh_from_db()
    assert not device.verify_token(network.code)
    rested(device).generate_challenge()
    assert VerificationRow.objects.count() == 2
    assert device.verify_token(network.code)


def test_code_is_sent_to_the_current_number(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    PhoneDevice.objects.update(phone=OTHER)
    network.clock.move(60)
    rested(device).generate_challenge()
    assert network.transport.notices[-1].phone == OTHER


def test_right_code_clears_failures_and_throttling(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    device.verify_token(network.wrong)
    PhoneDevice.objects.update(throttling_failure_timestamp=datetime(2020, 1, 1, tzinfo=UTC))
    device.refresh_from_db()
    assert device.verify_token(network.code)
    row = PhoneDevice.objects.get()
    assert (row.throttling_failure_count, row.throttling_failure_timestamp, row.last_generated_timestamp) == (
        0,
        None,
        None,
    )
    assert row.challenges == []


def test_locked_short_codes_request_no_call(device: PhoneDevice, network: Network, configure: Configure) -> None:
    """As a login that works without a code."""
    configure(flash_call="ssms://KEY@default", inbound_call="telefon-ip://TOKEN@default", max_failures=20)
    PhoneDevice.objects.update(phone="+79000000000")
    body = {"response": {"msg": {"err_code": "0"}, "data": {"id": 1, "code": "3563"}}}
    network.transport.answers.append(HttpResponse(200, {}, json.dumps(body).encode()))
    rested(device).generate_challenge()
    now = int(network.clock().timestamp() * 1_000_000)
    PhoneRow.objects.update(failures={"second_factor": [10, now + 3_600_000_000, now, 10, 0, 0]})
    network.clock.move(60)
    with pytest.raises(ChallengeError, match="available for this number"):
        rested(device).generate_challenge()
    assert len(network.transport.requests) == 1


def test_inbound_call_is_never_chosen(device: PhoneDevice, network: Network, configure: Configure) -> None:
    """An inbound call has no code to enter."""
    configure(inbound_call="telefon-ip://TOKEN@default", sms="console://", channels="inbound_call,sms")
    device.generate_challenge()
    assert VerificationRow.objects.get().channel == "sms"
    configure(inbound_call="telefon-ip://TOKEN@default")
    PhoneDevice.objects.update(phone=OTHER, last_generated_timestamp=None)
    with pytest.raises(ChallengeError, match="available on this site yet"):
        PhoneDevice.objects.get().generate_challenge()


def test_flash_call_says_what_to_enter(device: PhoneDevice, network: Network, configure: Configure) -> None:
    configure(flash_call="ferzz://KEY@default")
    body = {"message": "ok", "code": "3563", "tracking_code": "TRK-0000000001", "head_number": "0990000"}
    network.transport.answers.append(HttpResponse(200, {}, json.dumps(body).encode()))
    told = device.generate_challenge()
    assert "answer" in told
    assert "last digits" in told
    assert device.verify_token("3563")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (HttpResponse(500), "can't send a code right now"),
        (HttpResponse(200, {}, b'{"Status": 101}'), "send a code to this number"),
    ],
)
def test_refusal_is_shown_and_starts_no_cooldown(
    device: PhoneDevice, network: Network, configure: Configure, answer: HttpResponse, says: str
) -> None:
    configure(sms="amoot://TOKEN@default")
    network.transport.answers.append(answer)
    with pytest.raises(ChallengeError, match=says):
        device.generate_challenge()
    assert PhoneDevice.objects.get().last_generated_timestamp is None
    configure(sms="console://")
    device.generate_challenge()
    assert device.verify_token(network.code)


def test_store_outage_verifies_nothing(
    device: PhoneDevice, network: Network, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    device.generate_challenge()
    configure(sms="console://", store="sqlite:////nonexistent/folder/verifications.sqlite3")
    with pytest.raises(ChallengeError, match="went wrong on our side"):
        rested(device).generate_challenge()
    assert not device.verify_token(network.code)
    assert device.throttling_failure_count == 0
    assert "a second factor could not be checked" in caplog.text


def test_messages_use_the_active_language(device: PhoneDevice, settings: Any, network: Network) -> None:
    settings.LANGUAGE_CODE = "ru"
    assert "Мы отправили" in device.generate_challenge() or "код" in device.generate_challenge().lower()
    assert VerificationRow.objects.get().locale == "ru"


def test_number_is_parsed_when_the_device_is_created(alice: User, configure: Configure) -> None:
    configure(sms="console://", region="IR")
    device = PhoneDevice.objects.create(user=alice, phone="0912 000 0000")
    assert (device.phone, device.name) == (PHONE, "+98 ••••••••00")
    with pytest.raises(InvalidPhoneError):
        PhoneDevice.objects.create(user=alice, phone="nonsense")
    with pytest.raises(ValidationError, match="not a valid phone number"):
        PhoneDevice(user=alice, name="x", phone="nonsense").full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        PhoneDevice.objects.create(user=alice, phone=PHONE)


def test_test_number_code_is_refused_for_privileged_users(
    device: PhoneDevice, alice: User, configure: Configure, network: Network
) -> None:
    fixed = f"{PHONE}=482193@{network.clock().date()}"
    configure(sms="console://", test_passcodes=fixed, test_passcodes_in_production=PHONE)
    device.generate_challenge()
    assert device.verify_token("482193")
    User.objects.update(is_staff=True)
    device = PhoneDevice.objects.get()
    device.generate_challenge()
    assert not device.verify_token("482193")


# Its login form and its admin site.


@pytest.fixture
def browser(network: Network) -> Client:
    return Client(headers={"host": "testserver"}, **{"wsgi.multiprocess": False})  # type: ignore[arg-type]


def test_login_form_accepts_the_second_factor(device: PhoneDevice, network: Network) -> None:
    fields = {"username": "alice", "password": PASSWORD, "otp_device": device.persistent_id}
    form = OTPAuthenticationForm(None, {**fields, "otp_challenge": "1"})
    assert not form.is_valid()
    assert "We sent a code to +98 ••••••••00" in str(form.errors)
    form = OTPAuthenticationForm(None, {**fields, "otp_token": network.wrong})
    assert not form.is_valid()
    rested(device)
    form = OTPAuthenticationForm(None, {**fields, "otp_token": network.code})
    assert form.is_valid()
    assert form.get_user().otp_device == device


def test_admin_site_accepts_the_second_factor(device: PhoneDevice, network: Network, browser: Client) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    fields = {"username": "alice", "password": PASSWORD, "next": "/otpadmin/"}
    page = browser.post("/otpadmin/login/", fields).content.decode()
    assert "+98 ••••••••00" in page
    fields["otp_device"] = device.persistent_id
    page = browser.post("/otpadmin/login/", {**fields, "otp_challenge": "1"}).content.decode()
    assert "We sent a code to" in page
    answer = browser.post("/otpadmin/login/", {**fields, "otp_token": network.code})
    assert answer["Location"] == "/otpadmin/"
    assert browser.get("/otpadmin/").status_code == 200


def test_refused_challenge_is_shown_in_the_form(device: PhoneDevice, configure: Configure) -> None:
    configure()
    fields = {"username": "alice", "password": PASSWORD, "otp_device": device.persistent_id, "otp_challenge": "1"}
    form = OTPAuthenticationForm(None, fields)
    assert not form.is_valid()
    assert "available on this site yet" in str(form.errors)


@pytest.fixture
def begin_in() -> Iterator[Callable[[str], None]]:
    """Begin SQLite's transactions in this mode."""
    default = connections["default"]

    def set_to(mode: str) -> None:
        default.ensure_connection()
        default.transaction_mode = mode  # type: ignore[attr-defined]

    yield set_to
    set_to("IMMEDIATE")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["IMMEDIATE", "DEFERRED"])
def test_login_form_works_in_its_own_transaction(
    alice: User, network: Network, mode: str, begin_in: Callable[[str], None]
) -> None:
    """django-otp holds a transaction around every device. On SQLite a separate write is impossible meanwhile."""
    begin_in(mode)
    device = PhoneDevice.objects.create(user=alice, phone=PHONE)
    fields = {"username": "alice", "password": PASSWORD, "otp_device": device.persistent_id}
    form = OTPAuthenticationForm(None, {**fields, "otp_challenge": "1"})
    assert not form.is_valid()
    assert "We sent a code to" in str(form.errors)
    assert not OTPAuthenticationForm(None, {**fields, "otp_token": network.wrong}).is_valid()
    assert VerificationRow.objects.get().attempts_left == 4
    rested(device)
    assert OTPAuthenticationForm(None, {**fields, "otp_token": network.code}).is_valid()
    assert match_token(alice, network.code) is None


# The session that requested the code.


def another_session() -> Any:
    """The session of another request, like `session`."""
    return current.serving(request_of())


def test_code_works_only_in_the_requesting_session(device: PhoneDevice, network: Network, alice: User) -> None:
    device.generate_challenge()
    with another_session():
        assert rested(device).verify_is_allowed() == (False, {"error_message": ELSEWHERE})
        assert verify_token(alice, device.persistent_id, network.code) is None
        assert match_token(alice, network.code) is None
    assert VerificationRow.objects.get().attempts_left == 5
    assert PhoneDevice.objects.get().throttling_failure_count == 0, "it slows no other session down"
    assert verify_token(alice, device.persistent_id, network.code) == device


ELSEWHERE = "No code was requested in this browser. Request one here, then enter it here."


def test_login_form_refuses_a_code_of_another_browser(device: PhoneDevice, network: Network) -> None:
    """The attack: password and code are known, and the owner requested the code."""
    owner, thief = Client(), Client()
    fields = {"username": "alice", "password": PASSWORD, "otp_device": device.persistent_id, "next": "/treasure/"}
    assert "We sent a code to" in owner.post("/second/", {**fields, "otp_challenge": "1"}).content.decode()
    page = thief.post("/second/", {**fields, "otp_token": network.code})
    assert ELSEWHERE in page.content.decode()
    assert thief.get("/treasure/").status_code == 302
    assert owner.post("/second/", {**fields, "otp_token": network.code}).status_code == 302
    assert owner.get("/treasure/").content == b"treasure"
    assert challenges.SESSION_KEY not in owner.session or not owner.session[challenges.SESSION_KEY]


def test_code_survives_a_request_by_another_session(device: PhoneDevice, network: Network) -> None:
    device.generate_challenge()
    first = network.code
    with another_session():
        rested(device).generate_challenge()
        assert network.code != first
        assert not device.verify_token(first)
    assert rested(device).verify_token(first)


def test_table_holds_one_half_of_the_binding(device: PhoneDevice, network: Network, session: Any) -> None:
    device.generate_challenge()
    id, secret = VerificationRow.objects.get().pk, secret_of(device, session)
    row, kept = str(PhoneDevice.objects.values().get()), str(dict(session.items()))
    assert id in row
    assert secret not in row
    assert secret in kept
    assert id not in kept
    verifier = current_site().verifier
    assert verifier.get(id, secret).verification is not None
    for shown in ("", *device.challenges[0]):
        assert verifier.get(id, shown).verification is None, "what the table holds opens no verification"


def test_table_and_session_keep_few_challenges(session: Any) -> None:
    rows: challenges.Rows = []
    for n in range(7):
        rows = challenges.keep(request_of().session, 1, rows, PendingVerification(f"id {n}", f"secret {n}"))
        challenges.keep(session, n, [], PendingVerification(f"id {n}", f"secret {n}"))
    assert [id for _, id in rows] == [f"id {n}" for n in range(2, 7)]
    assert list(session[challenges.SESSION_KEY]) == [str(n) for n in range(2, 7)]


def test_device_refuses_outside_of_requests(alice: User, network: Network, caplog: pytest.LogCaptureFixture) -> None:
    """As in a command, a task, or a site without the middleware."""
    device = PhoneDevice.objects.create(user=alice, phone=PHONE)
    device.generate_challenge()
    for request in (None, HttpRequest()):
        with current.serving(request):  # type: ignore[arg-type]
            with pytest.raises(ChallengeError, match=OURS.replace(".", r"\.")):
                rested(device).generate_challenge()
            assert device.verify_is_allowed() == (False, {"error_message": NO_SESSION})
            assert not device.verify_token(network.code)
    assert OURS in caplog.text
    assert network.sent == 1


# The phone used to sign in.


def enter_by_phone(browser: Client, network: Network, phone: str = PHONE) -> None:
    browser.post("/phone/login/", {"phone": phone})
    assert browser.post("/phone/code/", {"code": network.code}).status_code == 303


def challenge(browser: Client, device: PhoneDevice) -> str:
    page = browser.post("/second/", {"otp_device": device.persistent_id, "otp_challenge": "1", "next": "/treasure/"})
    return page.content.decode()


def answer_with(browser: Client, device: PhoneDevice, code: str) -> Any:
    return browser.post("/second/", {"otp_device": device.persistent_id, "otp_token": code, "next": "/treasure/"})


@pytest.fixture
def phone_user(network: Network) -> User:
    user = User.objects.create_user("by_phone", password=PASSWORD)
    for phone in (PHONE, OTHER):
        VerifiedPhone.objects.create(user=user, phone=phone, verified_at=datetime.now(UTC))
    return user


def test_login_phone_is_not_the_second_factor(browser: Client, network: Network, phone_user: User) -> None:
    same = PhoneDevice.objects.create(user=phone_user, phone=PHONE)
    enter_by_phone(browser, network)
    sent = network.sent
    assert "You signed in with this phone" in challenge(browser, same)
    assert network.sent == sent
    # A code that was requested elsewhere does not help.
    same.generate_challenge()
    page = answer_with(browser, same, network.code).content.decode()
    assert "You signed in with this phone" in page
    assert browser.get("/treasure/").status_code == 302
    assert PhoneDevice.objects.get().throttling_failure_count == 0


def test_another_phone_is_a_second_factor(browser: Client, network: Network, phone_user: User) -> None:
    other = PhoneDevice.objects.create(user=phone_user, phone=OTHER)
    enter_by_phone(browser, network)
    assert "We sent a code to" in challenge(browser, other)
    assert answer_with(browser, other, network.code).status_code == 302
    assert browser.get("/treasure/").content == b"treasure"


def test_same_phone_is_a_second_factor_after_a_password(browser: Client, network: Network, phone_user: User) -> None:
    same = PhoneDevice.objects.create(user=phone_user, phone=PHONE)
    assert browser.login(username="by_phone", password=PASSWORD)
    challenge(browser, same)
    assert answer_with(browser, same, network.code).status_code == 302
    assert browser.get("/treasure/").content == b"treasure"


def test_changing_the_number_meanwhile_is_no_bypass(browser: Client, network: Network, phone_user: User) -> None:
    same = PhoneDevice.objects.create(user=phone_user, phone=PHONE)
    enter_by_phone(browser, network)
    # Not deleted: that would end the session.
    VerifiedPhone.objects.filter(phone=PHONE).update(phone="+989120000044", login_phone="+989120000044")
    assert "You signed in with this phone" in challenge(browser, same)


def test_device_set_by_another_view_is_revoked(browser: Client, network: Network, phone_user: User) -> None:
    """A custom view may have put the device into the session without checking it."""
    same = PhoneDevice.objects.create(user=phone_user, phone=PHONE)
    enter_by_phone(browser, network)
    session = browser.session
    session[DEVICE_ID_SESSION_KEY] = same.persistent_id
    session.save()
    assert browser.get("/treasure/").status_code == 302
    assert DEVICE_ID_SESSION_KEY not in browser.session


async def _who(cookie: str) -> str:
    client = AsyncClient()
    client.cookies["sessionid"] = cookie
    return (await client.get("/who/")).content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("phone", "verified"), [(PHONE, "False"), (OTHER, "True")])
def test_second_factor_rule_holds_under_asgi(
    browser: Client, network: Network, phone_user: User, phone: str, verified: str
) -> None:
    from asgiref.sync import async_to_sync

    device = PhoneDevice.objects.create(user=phone_user, phone=phone)
    enter_by_phone(browser, network)
    session = browser.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.save()
    assert async_to_sync(_who)(browser.cookies["sessionid"].value) == verified


def test_session_without_a_phone_tag_counts_as_this_phone(browser: Client, network: Network, phone_user: User) -> None:
    """A session from before the app was installed."""
    other = PhoneDevice.objects.create(user=phone_user, phone=OTHER)
    enter_by_phone(browser, network)
    session = browser.session
    del session[first_factor.SESSION_KEY]
    session.save()
    assert "You signed in with this phone" in challenge(browser, other)


KEYS = [f"kF8sQ2pV7xZ1cN4mW9bT6yR3hJ5gL0d-{letter}" for letter in "abc"]


@pytest.mark.parametrize(
    ("keys", "tag_key", "is_used"),
    [
        ([KEYS[1], KEYS[0]], None, False),
        ([KEYS[2], KEYS[1]], None, True),
        ([KEYS[2]], KEYS[0], False),
        ([KEYS[0]], KEYS[2], True),
    ],
    ids=["kept key", "dropped key", "dropped key that is the tag key", "new tag key"],
)
def test_tag_under_an_unknown_key_counts_as_used(
    browser: Client,
    network: Network,
    phone_user: User,
    configure: Configure,
    keys: list[str],
    tag_key: str | None,
    is_used: bool,
) -> None:
    """The session's phone cannot be compared with any other: no phone is its second factor."""
    configure(sms="console://", secret_keys=",".join([KEYS[1], KEYS[0]]))
    devices = [PhoneDevice.objects.create(user=phone_user, phone=phone) for phone in (PHONE, OTHER)]
    enter_by_phone(browser, network)
    configure(sms="console://", secret_keys=",".join(keys), **({"tag_key": tag_key} if tag_key else {}))
    assert "You signed in with this phone" in challenge(browser, devices[0])
    assert ("You signed in with this phone" in challenge(browser, devices[1])) is is_used


def test_session_from_before_the_key_ids_counts_as_used(browser: Client, network: Network, phone_user: User) -> None:
    other = PhoneDevice.objects.create(user=phone_user, phone=OTHER)
    enter_by_phone(browser, network)
    session = browser.session
    session[first_factor.SESSION_KEY] = current_site().verifier.tag(PhoneNumber(PHONE))
    session.save()
    assert "You signed in with this phone" in challenge(browser, other)


def test_session_holds_no_number(browser: Client, network: Network, phone_user: User) -> None:
    enter_by_phone(browser, network)
    assert PHONE.lstrip("+") not in str(dict(browser.session.items()))


def test_session_of_a_removed_backend_uses_no_phone() -> None:
    session: Any = {"_auth_user_backend": "gone.Backend"}
    assert not first_factor.is_used_in(session, PhoneNumber(PHONE))


# Setting it up.

SETUP = (
    "import sys, django; sys.argv = sys.argv[1:]; from django.conf import settings\n"
    f"settings.configure(SECRET_KEY={SECRET_KEY!r}, INSTALLED_APPS=['django.contrib.auth',"
    " 'django.contrib.contenttypes', 'django_otp', 'phone_verify_django', 'phone_verify_django.otp'],"
    " PHONE_VERIFY={{'sms': 'console://'}}, MIDDLEWARE={middleware})\n"
    "django.setup()"
)
OURS = "phone_verify_django.otp.middleware.PhoneFactorMiddleware"
THEIRS = "django_otp.middleware.OTPMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"


@pytest.mark.parametrize(
    ("middleware", "works"), [([AUTH, THEIRS], False), ([AUTH, OURS, THEIRS], False), ([AUTH, THEIRS, OURS], True)]
)
def test_missing_otp_middleware_stops_the_start(middleware: list[str], works: bool) -> None:
    program = SETUP.format(middleware=middleware)
    done = forks.run([sys.executable, "-c", program], cwd=ROOT)
    assert (done.returncode == 0) is works, done.stderr
    assert works or OURS in done.stderr.splitlines()[-1]


def test_check_reports_what_is_missing(settings: Any) -> None:
    settings.MIDDLEWARE = [AUTH, THEIRS]
    found = {message.id: message.hint for message in run_checks(tags=["phone_verify"])}
    assert OURS in (found["phone_verify_otp.E001"] or "")


def test_migrations_are_complete() -> None:
    call_command("makemigrations", "phone_verify_otp", check=True, dry_run=True, verbosity=0)


# Its admin.


@pytest.fixture
def keeper(browser: Client) -> Client:
    User.objects.create_superuser("keeper", password=PASSWORD)
    assert browser.login(username="keeper", password=PASSWORD)
    return browser


def test_admin_lists_devices(keeper: Client, device: PhoneDevice, network: Network, alice: User) -> None:
    device.generate_challenge()
    place = "/admin/phone_verify_otp/phonedevice/"
    for page in (place, f"{place}?q=alice", f"{place}{device.pk}/change/"):
        text = keeper.get(page).content.decode()
        assert "+98 ••••••••00" in text
        for hidden in (PHONE, PHONE[1:], *device.challenges[0]):
            assert hidden not in text
    answer = keeper.post(f"{place}add/", {"user": alice.pk, "name": "", "phone": "nonsense", "confirmed": "on"})
    assert "not a valid phone number" in answer.content.decode()
    answer = keeper.post(f"{place}add/", {"user": alice.pk, "name": "new", "phone": "+98 912 000 0001"})
    assert answer.status_code == 302
    assert PhoneDevice.objects.get(name="new").phone == OTHER
    answer = keeper.post(f"{place}{device.pk}/change/", {"user": alice.pk, "name": "mine", "phone": OTHER})
    assert answer.status_code == 302
    changed = PhoneDevice.objects.get(name="mine")
    assert (changed.phone, changed.confirmed) == (PHONE, False)


def test_no_number_or_code_is_logged(
    device: PhoneDevice, network: Network, session: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "phone_verify")
    device.generate_challenge()
    device.verify_token(network.wrong)
    for hidden in (PHONE, network.code, secret_of(device, session), *device.challenges[0]):
        assert hidden not in caplog.text
