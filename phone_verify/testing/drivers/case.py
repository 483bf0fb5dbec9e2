"""What the tests of a driver share."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from itertools import chain, repeat
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ...drivers.base import (
    ChecksRemotely,
    ClosesOrders,
    Driver,
    Polls,
    ReadsWebhooks,
    ReportsAccount,
    ReportsDelivery,
    ReportsMissing,
    Retries,
)
from ...drivers.dsn import load_driver, parse_dsn
from ...drivers.reading import scrubbed
from ...errors import ProviderError, UnclearError
from ...exchange import Exchange, HttpResponse, WebhookRequest
from ...model import (
    CallState,
    Channel,
    CodeSource,
    DeliveryReport,
    Order,
    ProviderAccount,
    Receipt,
    Sighting,
)
from ...phone import PhoneNumber
from .corruption import JSON, places_in, with_value
from .samples import Result, overhear, responses_of, start_order

#: What a sample of success expects, and therefore what is corrupted to make it fail.
SUCCESSES = {"receipt", "sighting", "right", "delivery", "account", "missing", "close"}
#: The states of a call that arrived.
CALLS = {CallState.CALLED, CallState.CONFIRMED}
#: The calls that carry no order: after a lost response nothing is in doubt.
QUESTIONS = {"poll", "check", "delivery", "account", "missing", "close"}


def with_every_sample(test: Callable[[Any, dict[str, Any]], None]) -> Callable[[Any], None]:
    """Return one test that runs through all samples. A failure names the sample.

    What a driver makes of a sample that is spoilt is code that its samples share: a test for each would cost more
    than it says.
    """

    @wraps(test)
    def with_every_sample(self: DriverCase) -> None:
        for name, sample in self._loaded().items():
            try:
                test(self, sample)
            except Exception as error:
                error.add_note(f"with the sample {name}")
                raise

    # By the wrapped test's own signature pytest would look for a fixture.
    del with_every_sample.__wrapped__
    return with_every_sample


class DriverCase:
    """The samples of a driver, and how the suite runs it with them."""

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
            line=PhoneNumber.parse(content["line"]) if "line" in content else None,
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
            case "close":
                assert isinstance(driver, ClosesOrders)
                return driver.close(sample["reference"], verified=sample["verified"])
            case "missing":
                assert isinstance(driver, ReportsMissing)
                return driver.missing()
            case _:
                return start_order(driver, self._order(sample["order"]))

    def _steps(
        self, sample: Mapping[str, Any], *, spoilt: bool = False
    ) -> Iterator[tuple[Driver, int, list[HttpResponse]]]:
        """Return the steps of a sample's conversation, if it succeeds, or if it may already be
        corrupted.
        """
        if spoilt or SUCCESSES & sample["expect"].keys():
            responses = responses_of(sample)
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
        places = list(places_in(body))

        @settings(max_examples=60, deadline=None, database=None)
        @given(st.sampled_from(places), JSON, st.sampled_from((200, 200, 201, 400)))
        def try_one(place: tuple[str | int, ...], value: object, status: int) -> None:
            answer = HttpResponse(status, {}, json.dumps(with_value(body, place, value)).encode())
            result, _ = overhear(self._call(driver, sample), chain(responses[:step], repeat(answer)))
            self._assert_sound(result, driver, sample)

        try_one()

    def _assert_sound(self, result: Result, driver: Driver, sample: Mapping[str, Any]) -> None:
        match sample.get("call", "start"), result:
            case _, ProviderError() | UnclearError():
                assert str(result).isprintable()
            case (("start" | "retry"), Receipt()):
                assert_sound_receipt(result, driver.abilities[Channel(sample["order"]["channel"])].code_source)
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
            case "close", None:
                pass
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


def assert_sound_receipt(receipt: Receipt, code_source: CodeSource) -> None:
    """Assert that the fields of a receipt are valid and fit who holds the code."""
    assert receipt.code is not None or code_source is not CodeSource.PROVIDER
    # A provider that was given our code may report that it sent another one.
    assert receipt.code is None or code_source in (CodeSource.PROVIDER, CodeSource.LOCAL)
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
