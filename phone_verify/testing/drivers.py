"""The requirements of every driver, as tests. A driver's own test class subclasses `DriverSuite`:

    class TestAmoot(DriverSuite):
        driver = Amoot
        dsn = "amoot://FAKE-TOKEN@127.0.0.1:8025/base?tls=off"
        variants = ("auth=form",)
        samples = Path(__file__).parent / "samples" / "amoot"
        phone, abroad = "+989120000000", "+79000000000"

`samples` is a folder of JSON files, each one conversation with the provider:

    about      what is special about it
    options    DSN options of this sample, added to `dsn`; none if absent
    call       start (if absent), retry, poll, check, read, delivery, account or missing
    order      channel; phone (the suite's if absent), code, text, webhook_url, user_token, options
    reference  of the previous order, for retry, poll and delivery, and for check if it has one
    exchange   a list of {request, response, read}. request is what the driver must send: method,
               path (under the base path), and query, headers, form or json if they matter; if
               absent, any request matches. response is status, headers and body: JSON, or a string
               with the literal body. read is false if the body of a 2xx carries no information and
               so must not change anything
    webhook    for read: method, query and form as the provider sends them
    expect     one of receipt, sighting, event (their fields, omitting those that are None; null is
               no event), delivery and account (likewise; delivery for read too), right (true or
               false, for check), missing (a text), refusal (the name of the failure kind), unclear
               (true)

Numbers and keys in samples are invented.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from itertools import chain, repeat
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..drivers.base import (
    ChecksRemotely,
    Driver,
    NamesParameters,
    Polls,
    ReadsWebhooks,
    ReportsAccount,
    ReportsDelivery,
    ReportsMissing,
    Retries,
    Starts,
    TakesUserTokens,
)
from ..drivers.dsn import load_driver, parse_dsn
from ..drivers.reading import scrubbed
from ..errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, HttpResponse, Notice
from ..model import (
    CallState,
    Channel,
    CodeSource,
    DeliveryReport,
    DeliveryState,
    IncomingCall,
    Order,
    ProviderAccount,
    Receipt,
    Sighting,
    WebhookRequest,
)
from ..phone import PhoneNumber

#: No driver needs more requests than this for one order.
MOST_REQUESTS = 4

NOT_2XX = (300, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 405, 408, 409, 410, 422, 429, 500, 502, 503, 504, 599)

#: Bodies that no provider sends on purpose. None of them may be taken as a result.
GARBAGE = {
    "empty": b"",
    "html": b"<!doctype html><title>502</title><p>Bad gateway",
    "text": b"OK",
    "truncated": b'{"success": true, "data": {"id": 1',
    "no utf-8": b'{"message": "\xff\xfe"}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "string": b'"Success"',
    "list": b"[]",
    "list of lists": b"[[[]], [[{}]]]",
    "list of objects": b'[{"Status": "Success"}]',
    "object": b"{}",
    "nan": b"NaN",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"data":' * 100_000,
    "closed deep lists": b"[" * 900 + b"]" * 900,
    "huge number": b"1" * 5_000,
    "huge number inside": b'{"Status": ' + b"1" * 5_000 + b"}",
    "half a surrogate pair": rb'{"message": "\ud800", "error": "\udfff"}',
}

Result = Receipt | Sighting | bool | DeliveryReport | ProviderAccount | str | ProviderError | UnclearError

#: What a sample of success expects, and therefore what is corrupted to make it fail.
_SUCCESSES = {"receipt", "sighting", "right", "delivery", "account", "missing"}
#: The calls that carry no order: after a lost response nothing is in doubt.
_QUESTIONS = {"poll", "check", "delivery", "account", "missing"}


def _with_every_sample(test: Callable[[Any, dict[str, Any]], None]) -> Callable[[Any], None]:
    """One test that goes through all samples. A failure names the sample.

    What a driver makes of a sample that is spoilt is code that its samples share: a test for each would cost more
    than it says.
    """

    @wraps(test)
    def with_every_sample(self: DriverSuite) -> None:
        for name, sample in self._loaded().items():
            try:
                test(self, sample)
            except Exception as error:
                error.add_note(f"with the sample {name}")
                raise

    # By the wrapped test's own signature pytest would look for a fixture.
    del with_every_sample.__wrapped__
    return with_every_sample


class DriverSuite:
    """Tests that every driver must pass for any provider response. Subclasses name the driver, DSN
    and samples.
    """

    driver: ClassVar[type[Driver]]
    #: With a base path, a loopback host, `tls=off` and credentials that need percent-encoding.
    dsn: ClassVar[str]
    #: Further options, each of which must also meet all requirements.
    variants: ClassVar[Sequence[str]] = ()
    samples: ClassVar[Path]
    #: A number that the driver reaches, and one that it does not, if any.
    phone: ClassVar[str]
    abroad: ClassVar[str | None] = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test for every sample and for every variant of the DSN."""
        if "sample" in metafunc.fixturenames:
            loaded = self._loaded()
            metafunc.parametrize("sample", list(loaded.values()), ids=list(loaded))
        if "variant" in metafunc.fixturenames:
            metafunc.parametrize("variant", ["", *self.variants])

    # Roles and values

    def test_every_ability_has_its_roles(self, variant: str) -> None:
        """The roles match the abilities."""
        driver = self._driver(variant)
        assert type(driver) is self.driver
        assert isinstance(driver, Starts)
        code_sources = {ability.code_source for ability in driver.abilities.values()}
        assert code_sources
        # A webhook may also report deliveries only.
        assert isinstance(driver, Polls | ReadsWebhooks) or CodeSource.NONE not in code_sources
        assert CodeSource.NONE in code_sources or not isinstance(driver, Polls)
        assert (CodeSource.REMOTE_CHECK in code_sources) == isinstance(driver, ChecksRemotely)
        for ability in driver.abilities.values():
            assert ability.fixed_length is None or ability.code_source in (CodeSource.PROVIDER, CodeSource.REMOTE_CHECK)
            assert ability.shortest is None or ability.code_source is CodeSource.LOCAL
            assert ability.longest is None or 4 <= (ability.shortest or 4) <= ability.longest <= 8

    def test_every_channel_has_samples(self) -> None:
        """Each channel has at least one sample of success and one of refusal (without a provider:
        success only).
        """
        contents = [json.loads(file.read_text(encoding="utf-8")) for file in self.samples.glob("*.json")]
        driver = self._driver()
        talks = any(sample.get("exchange") for sample in contents)
        for channel in driver.abilities:
            own = [s["expect"] for s in contents if s.get("order", {}).get("channel") == channel]
            assert any("receipt" in expect for expect in own), channel
            assert any("refusal" in expect for expect in own) or not talks, channel

    def test_remote_code_has_samples_of_both_results(self) -> None:
        """A code that the provider checks has at least one sample of a right answer and one of a
        wrong answer.
        """
        contents = [json.loads(file.read_text(encoding="utf-8")) for file in self.samples.glob("*.json")]
        for channel, ability in self._driver().abilities.items():
            if ability.code_source is CodeSource.REMOTE_CHECK:
                own = [s["expect"].get("right") for s in contents if s.get("order", {}).get("channel") == channel]
                assert {True, False} <= set(own), channel

    def test_every_other_role_has_samples(self) -> None:
        """Delivery and account have a sample of success and one of refusal; webhooks one that
        counts and one that does not.
        """
        contents = [json.loads(file.read_text(encoding="utf-8")) for file in self.samples.glob("*.json")]
        driver = self._driver()
        for call, role in (("delivery", ReportsDelivery), ("account", ReportsAccount), ("missing", ReportsMissing)):
            own = [sample["expect"] for sample in contents if sample.get("call") == call]
            if isinstance(driver, role):
                assert {call, "refusal"} <= {word for expect in own for word in expect}, call
        if isinstance(driver, ReportsDelivery):
            told = {sample["expect"].get("delivery", {}).get("state") for sample in contents}
            assert {DeliveryState.DELIVERED, DeliveryState.OPEN} <= told
        if isinstance(driver, ReadsWebhooks):
            reads = [sample["expect"] for sample in contents if "webhook" in sample]
            assert {False, True} == {any(expect.values()) for expect in reads}
        if isinstance(driver, TakesUserTokens):
            assert any("user_token" in sample.get("order", {}) for sample in contents)

    def test_driver_is_frozen(self) -> None:
        """No field of a driver can be changed."""
        driver = self._driver()
        for field in dataclasses.fields(driver):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(driver, field.name, None)

    def test_driver_shows_no_credential(self, variant: str) -> None:
        """Neither repr nor str shows a credential in any spelling."""
        driver = self._driver(variant)
        for text in (repr(driver), str(driver), f"{driver}"):
            _assert_hidden(text, self._credentials())

    def test_unknown_option_names_the_known_ones(self) -> None:
        """The error for an unknown option lists the known ones."""
        with pytest.raises(ConfigurationError, match="SETTING") as raised:
            self._driver("no_such_option=1")
        for name in (*self.driver.options, "tls", "timeout", "name"):
            assert name in str(raised.value)
        _assert_hidden(str(raised.value), self._credentials())

    def test_wrong_credentials_are_reported_without_showing_them(self) -> None:
        """Too many credentials, or none if some are required, are reported without showing them."""
        scheme, _, rest = self.dsn.partition("://")
        place = rest.rpartition("@")[2]
        for credentials in (
            "FAKE-1:FAKE-2:FAKE-3@",
            "FAKE-1:@",
            *(() if () in self.driver.credential_forms else ("",)),
        ):
            with pytest.raises(ConfigurationError, match="SETTING") as raised:
                load_driver(parse_dsn(f"{scheme}://{credentials}{place}", "SETTING"))
            assert "FAKE" not in str(raised.value)

    def test_unreachable_number_sends_no_request(self) -> None:
        """Such a number is refused as a bad one before any request, on every channel."""
        driver = self._driver()
        assert driver.reaches(PhoneNumber.parse(self.phone))
        if self.abroad is None:
            return
        phone = PhoneNumber.parse(self.abroad)
        assert not driver.reaches(phone)
        for channel in driver.abilities:
            result, asked = overhear(_start(driver, self._order({"channel": channel, "code": "4821"}, phone)), ())
            assert asked == []
            assert isinstance(result, ProviderError)
            assert result.trouble is FailureKind.BAD_NUMBER
        if isinstance(driver, ChecksRemotely):
            result, asked = overhear(driver.check(phone, "48219"), ())
            assert asked == []
            assert isinstance(result, ProviderError)
            assert result.trouble is FailureKind.BAD_NUMBER

    # Conversations

    def test_driver_follows_the_sample(self, sample: dict[str, Any]) -> None:
        """The driver sends what the sample expects, and interprets the response correctly."""
        driver = self._driver(sample.get("options", ""))
        expect = sample["expect"]
        if "webhook" in sample:
            assert isinstance(driver, ReadsWebhooks)
            event = driver.parse_webhook(_webhook(sample["webhook"]))
            assert ({"event": None} if event is None else _told(event)) == expect
            if event is not None and isinstance(driver, NamesParameters):
                names = {name for name, _ in _webhook(sample["webhook"]).parameters}
                assert not any(names.isdisjoint(alternatives) for alternatives in driver.webhook_parameters)
            return
        result, asked = overhear(self._call(driver, sample), _responses(sample))
        assert _told(result) == expect
        requests = [request for request in asked if isinstance(request, HttpRequest)]
        assert len(requests) == len(sample.get("exchange", ()))
        base_path = urlsplit(driver.base_url).path
        for request, step in zip(requests, sample.get("exchange", ()), strict=True):
            assert request.url.startswith(driver.base_url + "/")
            for name, value in step.get("request", {}).items():
                assert _asked(request, name, base_path) == value, name

    @_with_every_sample
    def test_every_sample_gives_a_sound_result(self, sample: dict[str, Any]) -> None:
        """A receipt has exactly what its channel needs."""
        if "webhook" not in sample:
            driver = self._driver(sample.get("options", ""))
            result, _ = overhear(self._call(driver, sample), _responses(sample))
            self._assert_sound(result, driver, sample)

    @_with_every_sample
    def test_no_http_error_is_a_success(self, sample: dict[str, Any]) -> None:
        """HTTP 3xx, 4xx and 5xx are refusals regardless of the body, at every step of the
        conversation.
        """
        for driver, step, responses in self._steps(sample):
            for status in NOT_2XX:
                refused = dataclasses.replace(responses[step], status=status)
                answers = chain(responses[:step], [refused], responses[step + 1 :], repeat(refused))
                result, _ = overhear(self._call(driver, sample), answers)
                match result:
                    case Sighting():
                        assert result.state is not CallState.CALLED, status
                    case bool():
                        assert result is False, status
                    case _:
                        assert isinstance(result, ProviderError), status

    @_with_every_sample
    def test_lost_response_is_no_success(self, sample: dict[str, Any]) -> None:
        """A missing response is a refusal or unclear; always unclear if that request may carry the
        order.
        """
        for driver, step, responses in self._steps(sample):
            asks, last = sample.get("call") in _QUESTIONS, step + 1 == len(responses)
            for lost in (ProviderError(FailureKind.TRANSIENT, "down"), UnclearError("late")):
                result, _ = overhear(self._call(driver, sample), chain(responses[:step], repeat(lost)))
                assert isinstance(result, ProviderError | UnclearError)
                if last and not asks:
                    assert type(result) is type(lost)

    @_with_every_sample
    def test_garbage_is_no_success(self, sample: dict[str, Any]) -> None:
        """A meaningless 2xx is unclear or a refusal, and no other error."""
        for driver, step, responses in self._steps(sample):
            if not _is_read(sample, step):
                continue
            for status in (200, 201, 204):
                for name, body in GARBAGE.items():
                    answers = chain(responses[:step], repeat(HttpResponse(status, {}, body)))
                    result, _ = overhear(self._call(driver, sample), answers)
                    assert result is not True
                    assert not isinstance(result, Receipt | DeliveryReport | ProviderAccount | str), name
                    assert not isinstance(result, Sighting) or result.state is not CallState.CALLED, name

    @_with_every_sample
    def test_unread_body_changes_nothing(self, sample: dict[str, Any]) -> None:
        """If the HTTP status alone decides, any 2xx with any body is as good as the sample's."""
        for driver, step, responses in self._steps(sample):
            if _is_read(sample, step):
                continue
            for status in (200, 201, 202, 204):
                for name, body in GARBAGE.items():
                    answers = [*responses]
                    answers[step] = HttpResponse(status, {}, body)
                    result, _ = overhear(self._call(driver, sample), answers)
                    assert _told(result) == sample["expect"], name

    @pytest.mark.fuzz
    @_with_every_sample
    def test_any_json_is_read_or_refused(self, sample: dict[str, Any]) -> None:
        """For any JSON at any place of the reply, the result is valid or one of the two errors."""
        for driver, step, responses in self._steps(sample):
            self._try_any_json(driver, sample, step, responses)

    @_with_every_sample
    def test_no_error_repeats_a_secret(self, sample: dict[str, Any]) -> None:
        """A provider that repeats credential, code and number in its response doesn't get them into
        an error.
        """
        secrets = self._secrets(sample)
        for driver, step, responses in self._steps(sample, spoilt=True):
            spoken = " ".join((*secrets, *chain.from_iterable(map(_spellings, self._credentials()))))
            body = responses[step].json()
            replies = [_with_strings(body, "{} " + spoken), _with_strings(body, spoken)]
            replies += [dict.fromkeys(("error", "message", "detail", "Status", "code", "msg"), spoken), spoken]
            for status in (200, 201, 400, 401, 403, 500):
                for reply in replies:
                    spoken_in = HttpResponse(status, {}, json.dumps(reply).encode())
                    answers = chain(responses[:step], [spoken_in], responses[step + 1 :], repeat(spoken_in))
                    result, asked = overhear(self._call(driver, sample), answers)
                    if isinstance(result, ProviderError | UnclearError | DeliveryReport):
                        for text in (str(result), repr(result), getattr(result, "detail", "")):
                            _assert_hidden(text, secrets)
                    for request in asked:
                        _assert_hidden(repr(request), secrets)
                        assert not isinstance(request, HttpRequest) or request.host == urlsplit(driver.base_url).netloc

    @_with_every_sample
    def test_repeated_parameter_verifies_nothing(self, sample: dict[str, Any]) -> None:
        """A webhook with a repeated significant parameter, even with the same value, is not an event."""
        if "webhook" not in sample or not any(sample["expect"].values()):
            return
        driver = self._driver(sample.get("options", ""))
        assert isinstance(driver, ReadsWebhooks)
        request = _webhook(sample["webhook"])
        assert driver.parse_webhook(request)
        repeated = [
            driver.parse_webhook(dataclasses.replace(request, parameters=[*request.parameters, (name, value)]))
            for name, value in request.parameters
            if name in self._telling(driver, request)
        ]
        assert repeated
        assert not any(repeated)

    # How the suite runs the driver

    def _loaded(self) -> dict[str, dict[str, Any]]:
        """The samples by their names."""
        files = sorted(self.samples.glob("*.json"))
        assert files, f"no samples in {self.samples}"
        return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}

    def _driver(self, options: str = "") -> Driver:
        joint = ("&" if "?" in self.dsn else "?") if options else ""
        return load_driver(parse_dsn(self.dsn + joint + options, "SETTING"))

    def _credentials(self) -> tuple[str, ...]:
        return tuple(parse_dsn(self.dsn, "SETTING").credentials)

    def _order(self, content: Mapping[str, Any], phone: PhoneNumber | None = None) -> Order:
        return Order(
            phone=phone or PhoneNumber.parse(content.get("phone", self.phone)),
            channel=Channel(content["channel"]),
            ttl=timedelta(seconds=120),
            code=content.get("code"),
            text=content.get("text"),
            webhook_url=content.get("webhook_url"),
            user_token=content.get("user_token"),
            options=content.get("options", {}),
        )

    def _call(self, driver: Driver, sample: Mapping[str, Any]) -> Exchange[Any]:
        match sample.get("call", "start"):
            case "poll":
                assert isinstance(driver, Polls)
                return driver.poll(sample["reference"])
            case "retry":
                assert isinstance(driver, Retries)
                return driver.retry(self._order(sample["order"]), sample["reference"])
            case "check":
                assert isinstance(driver, ChecksRemotely)
                order = self._order(sample["order"])
                assert order.code is not None
                return driver.check(order.phone, order.code, sample.get("reference"))
            case "delivery":
                assert isinstance(driver, ReportsDelivery)
                return driver.delivery(sample["reference"])
            case "account":
                assert isinstance(driver, ReportsAccount)
                return driver.account()
            case "missing":
                assert isinstance(driver, ReportsMissing)
                return driver.missing()
            case _:
                return _start(driver, self._order(sample["order"]))

    def _steps(
        self, sample: Mapping[str, Any], *, spoilt: bool = False
    ) -> Iterator[tuple[Driver, int, list[HttpResponse]]]:
        """Return the steps of a sample's conversation, if it succeeds, or if it may already be
        corrupted.
        """
        if spoilt or _SUCCESSES & sample["expect"].keys():
            responses = _responses(sample)
            for step, response in enumerate(responses):
                if not response.ok and step + 1 < len(responses):
                    continue  # a refusal that the driver recovers from; what follows it is corrupted instead
                yield self._driver(sample.get("options", "")), step, responses

    def _secrets(self, sample: Mapping[str, Any]) -> tuple[str, ...]:
        order = sample.get("order", {})
        phone = PhoneNumber.parse(order.get("phone", self.phone))
        told = sample["expect"].get("receipt", {}).get("code")
        shared = (secret for secret in (order.get("code"), told, order.get("user_token")) if secret)
        return (*self._credentials(), phone.e164, phone.e164[1:], phone.national, *shared)

    def _try_any_json(
        self, driver: Driver, sample: Mapping[str, Any], step: int, responses: Sequence[HttpResponse]
    ) -> None:
        body = responses[step].json()
        places = list(_places(body))

        @settings(max_examples=60, deadline=None, database=None)
        @given(st.sampled_from(places), _JSON, st.sampled_from((200, 200, 201, 400)))
        def try_one(place: tuple[str | int, ...], value: object, status: int) -> None:
            answer = HttpResponse(status, {}, json.dumps(_replaced(body, place, value)).encode())
            result, _ = overhear(self._call(driver, sample), chain(responses[:step], repeat(answer)))
            self._assert_sound(result, driver, sample)

        try_one()

    def _assert_sound(self, result: Result, driver: Driver, sample: Mapping[str, Any]) -> None:
        match sample.get("call", "start"), result:
            case _, ProviderError() | UnclearError():
                assert str(result).isprintable()
            case (("start" | "retry"), Receipt()):
                _assert_sound_receipt(result, driver.abilities[Channel(sample["order"]["channel"])].code_source)
            case "poll", Sighting():
                assert result.caller is None or result.state is CallState.CALLED
            case "check", bool():
                pass
            case "delivery", DeliveryReport():
                assert result.reference == sample["reference"]
                assert result.said == scrubbed(result.said)
            case "account", ProviderAccount():
                assert result.balance is None or result.balance.is_finite()
                assert result.currency is None or re.fullmatch(r"[A-Z]{3}", result.currency)
            case "missing", str():
                assert result == scrubbed(result)
            case call, _:
                raise AssertionError(f"{call} returned {result!r}")

    def _telling(self, driver: ReadsWebhooks, request: WebhookRequest) -> set[str]:
        """Return the parameters that this webhook cannot do without."""
        whole = driver.parse_webhook(request)
        return {
            name
            for name, _ in request.parameters
            if driver.parse_webhook(
                dataclasses.replace(request, parameters=[(n, v) for n, v in request.parameters if n != name])
            )
            != whole
        }


def overhear(
    exchange: Exchange[Any], answers: Iterable[HttpResponse | ProviderError | UnclearError]
) -> tuple[Any, list[HttpRequest | Notice]]:
    """Run an exchange against these responses; return its result or the error it raised, and its
    requests.

    An error among the responses is raised by the transport in place of one.
    """
    asked: list[HttpRequest | Notice] = []
    remaining = iter(answers)
    try:
        request = next(exchange)
        while True:
            asked.append(request)
            assert len(asked) <= MOST_REQUESTS, "the driver never stops asking"
            if isinstance(request, Notice):
                request = exchange.send(HttpResponse(200))
                continue
            answer = next(remaining, None)
            assert answer is not None, "the driver sent more requests than the sample has responses"
            request = exchange.send(answer) if isinstance(answer, HttpResponse) else exchange.throw(answer)
    except StopIteration as stop:
        return stop.value, asked
    except (ProviderError, UnclearError) as error:
        return error, asked


_TEXTS = st.text(max_size=20) | st.text("0123456789+ok", max_size=20) | st.sampled_from(["\ud800", "\x00", "٣٤٥٦"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**4000) | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _start(driver: Driver, order: Order) -> Exchange[Receipt]:
    assert isinstance(driver, Starts)
    return driver.start(order)


def _responses(sample: Mapping[str, Any]) -> list[HttpResponse]:
    return [_response(step["response"]) for step in sample.get("exchange", ())]


def _is_read(sample: Mapping[str, Any], step: int) -> bool:
    return bool(sample["exchange"][step].get("read", True))


def _response(content: Mapping[str, Any]) -> HttpResponse:
    body = content.get("body", "")
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    headers = {name.lower(): value for name, value in content.get("headers", {}).items()}
    return HttpResponse(content["status"], headers, text.encode())


def _webhook(content: Mapping[str, Any]) -> WebhookRequest:
    form = content.get("form", "")
    parameters = [*parse_qsl(content.get("query", "")), *parse_qsl(form)]
    return WebhookRequest(content["method"], parameters, content.get("headers", {}), form.encode())


def _asked(request: HttpRequest, name: str, base_path: str) -> object:
    """Return what a request contains under one of the names that a sample uses."""
    parts = urlsplit(request.url)
    body = request.body or b""
    match name:
        case "method":
            return request.method
        case "path":
            return parts.path.removeprefix(base_path)
        case "query":
            return dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        case "headers":
            return dict(request.headers)
        case "form":
            return dict(parse_qsl(body.decode(), keep_blank_values=True))
        case "json":
            return json.loads(body)
        case _:
            raise AssertionError(f"a sample's request has no {name!r}")


def _told(result: object) -> dict[str, object]:
    """Return a result in the form of a sample's `expect`."""
    match result:
        case Receipt():
            return {"receipt": _plain(result)}
        case Sighting():
            return {"sighting": _plain(result)}
        case IncomingCall():
            return {"event": _plain(result)}
        case DeliveryReport():
            return {"delivery": _plain(result)}
        case ProviderAccount():
            return {"account": _plain(result)}
        case bool():
            return {"right": result}
        case str():
            return {"missing": result}
        case ProviderError():
            return {"refusal": str(result.trouble)}
        case UnclearError():
            return {"unclear": True}
        case _:
            raise AssertionError(f"no result of a driver: {result!r}")


def _plain(value: Receipt | Sighting | IncomingCall | DeliveryReport | ProviderAccount) -> dict[str, str]:
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {
        name: content.e164 if isinstance(content, PhoneNumber) else str(content)
        for name, content in fields.items()
        if content not in (None, "")
    }


def _assert_sound_receipt(receipt: Receipt, code_source: CodeSource) -> None:
    assert (receipt.code is not None) == (code_source is CodeSource.PROVIDER)
    assert receipt.code is None or re.fullmatch(r"[0-9]{3,10}", receipt.code)
    assert receipt.line is not None or code_source is not CodeSource.NONE
    # A call to the line may release a message with our code.
    assert receipt.line is None or code_source in (CodeSource.NONE, CodeSource.LOCAL)
    assert receipt.line is None or re.fullmatch(r"\+[1-9][0-9]{7,14}", receipt.line.e164)
    assert receipt.line is None or receipt.line.hint
    assert receipt.reference is None or re.fullmatch(r"[!-~]{1,64}", receipt.reference)
    assert receipt.caller_hint is None or re.fullmatch(r"\+?[0-9]{1,15}", receipt.caller_hint)
    assert not (receipt.caller_hint and receipt.code and receipt.caller_hint.endswith(receipt.code))
    assert receipt.code is None or "code" not in repr(receipt)
    assert receipt.parts is None or receipt.parts > 0
    assert receipt.price is None or (receipt.price.is_finite() and receipt.price >= 0)
    assert receipt.currency is None or re.fullmatch(r"[A-Z]{3}", receipt.currency)


def _spellings(secret: str) -> tuple[str, ...]:
    encoded = base64.b64encode(secret.encode()).decode()
    return secret, quote(secret, safe=""), quote_plus(secret), encoded


def _assert_hidden(text: str, secrets: Iterable[str]) -> None:
    for secret in secrets:
        for spelling in map(_letters, _spellings(secret)):
            # The text itself would show the secret, so it is left out of the failure.
            assert _letters(text).find(spelling) < 0, f"a secret shows in a text of {len(text)} letters"


def _letters(text: str) -> str:
    """Return the letters and digits alone: a secret whose punctuation became spaces still matches."""
    return "".join(filter(str.isalnum, text)).lower()


def _places(body: object) -> Iterator[tuple[str | int, ...]]:
    """Return the path to every node of a JSON document, starting with the document itself."""
    yield ()
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(body, dict):
        items = body.items()
    elif isinstance(body, list):
        items = enumerate(body)
    for key, value in items:
        for rest in _places(value):
            yield (key, *rest)


def _replaced(body: object, place: tuple[str | int, ...], value: object) -> object:
    if not place:
        return value
    changed: Any = copy.copy(body)
    changed[place[0]] = _replaced(changed[place[0]], place[1:], value)
    return changed


def _with_strings(body: object, template: str) -> object:
    """Return the document with every meaningful string put into `template`."""
    match body:
        case str() if body:
            return template.replace("{}", body)
        case dict():
            return {name: _with_strings(value, template) for name, value in body.items()}
        case list():
            return [_with_strings(value, template) for value in body]
        case _:
            return body
