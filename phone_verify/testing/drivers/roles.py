"""Roles of a driver, its values, and samples for all of them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ...drivers.base import (
    ChecksRemotely,
    ClosesOrders,
    Polls,
    ReadsWebhooks,
    ReportsAccount,
    ReportsDelivery,
    ReportsMissing,
    Starts,
    TakesUserTokens,
)
from ...drivers.dsn import load_driver, parse_dsn
from ...drivers.reading import reference_of, scrubbed
from ...errors import ConfigurationError, FailureKind, ProviderError
from ...exchange import Rejected, WebhookReply
from ...model import CodeSource, DeliveryReport, DeliveryState, IncomingCall
from ...phone import PhoneNumber
from .case import DriverCase
from .corruption import any_webhook
from .samples import overhear, start_order, webhook_of
from .secrecy import assert_hidden


class RolePromises(DriverCase):
    """Roles of a driver, its values, and samples for all of them."""

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
        """Each channel has at least one sample of success and one of refusal (success only, if its
        order sends no request).
        """
        contents = [json.loads(file.read_text(encoding="utf-8")) for file in self.samples.glob("*.json")]
        driver = self._driver()
        for channel in driver.abilities:
            own = [sample for sample in contents if sample.get("order", {}).get("channel") == channel]
            expected = {word for sample in own for word in sample["expect"]}
            assert "receipt" in expected, channel
            assert "refusal" in expected or not any(sample.get("exchange") for sample in own), channel

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
        roles: dict[str, Any] = {
            "delivery": ReportsDelivery,
            "account": ReportsAccount,
            "missing": ReportsMissing,
            "close": ClosesOrders,
        }
        for call, role in roles.items():
            own = [sample["expect"] for sample in contents if sample.get("call") == call]
            if isinstance(driver, role):
                assert {call, "refusal"} <= {word for expect in own for word in expect}, call
        if isinstance(driver, ReportsDelivery):
            told = {sample["expect"].get("delivery", {}).get("state") for sample in contents}
            assert {DeliveryState.DELIVERED, DeliveryState.OPEN} <= told
        if isinstance(driver, ReadsWebhooks):
            reads = [sample["expect"] for sample in contents if "webhook" in sample]
            assert {False, True} == {any(expect.values()) for expect in reads}
            # A forged webhook: without a signature, or with another one.
            assert not driver.signs_webhooks or {"rejected": True} in reads
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
            assert_hidden(text, self._credentials())

    def test_unknown_option_names_the_known_ones(self) -> None:
        """The error for an unknown option lists the known ones."""
        with pytest.raises(ConfigurationError, match="SETTING") as raised:
            self._driver("no_such_option=1")
        for name in (*self.driver.options, "tls", "timeout", "name"):
            assert name in str(raised.value)
        assert_hidden(str(raised.value), self._credentials())

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
            result, asked = overhear(start_order(driver, self._order({"channel": channel, "code": "4821"}, phone)), ())
            assert asked == []
            assert isinstance(result, ProviderError)
            assert result.trouble is FailureKind.BAD_NUMBER
        if isinstance(driver, ChecksRemotely):
            result, asked = overhear(driver.check(phone, "48219"), ())
            assert asked == []
            assert isinstance(result, ProviderError)
            assert result.trouble is FailureKind.BAD_NUMBER

    @pytest.mark.fuzz
    def test_any_webhook_parses_to_events_or_nothing(self) -> None:
        """Any parameters, headers, body and URL parse to complete events, to nothing, or are rejected;
        never to an error, and to no event if the provider signs its webhooks.
        """
        driver = self._driver()
        if not isinstance(driver, ReadsWebhooks):
            return
        samples = [json.loads(file.read_text(encoding="utf-8")) for file in self.samples.glob("*.json")]
        known = [webhook_of(sample["webhook"]) for sample in samples if "webhook" in sample]

        @settings(max_examples=150, deadline=None, database=None)
        @given(st.data())
        def parse_one(data: st.DataObject) -> None:
            parsed = driver.parse_webhook(data.draw(any_webhook(known)))
            events = parsed if isinstance(parsed, tuple) else (parsed,)
            for event in events:
                assert not driver.signs_webhooks or isinstance(event, Rejected | WebhookReply | None)
                if isinstance(event, DeliveryReport):
                    assert event.said == scrubbed(event.said)
                if isinstance(event, IncomingCall | DeliveryReport):
                    assert event.reference is None or reference_of(event.reference) == event.reference
                if isinstance(event, IncomingCall):
                    assert event.caller is None or PhoneNumber.parse(event.caller.e164) == event.caller

        parse_one()
