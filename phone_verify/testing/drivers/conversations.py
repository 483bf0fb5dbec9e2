"""Conversations with a provider: as in the samples, and with corrupted responses."""

from __future__ import annotations

import dataclasses
import json
from itertools import chain, repeat
from typing import Any
from urllib.parse import urlsplit

import pytest

from ...drivers.base import NamesParameters, ReadsWebhooks
from ...errors import FailureKind, ProviderError, UnclearError
from ...exchange import HttpRequest, HttpResponse, Rejected
from ...model import DeliveryReport, ProviderAccount, Receipt, Sighting
from .case import CALLS, QUESTIONS, DriverCase, with_every_sample
from .corruption import GARBAGE, NOT_2XX, with_strings
from .samples import as_expected, is_read, overhear, part_of, responses_of, webhook_of
from .secrecy import assert_hidden, spellings_of


class ConversationPromises(DriverCase):
    """Conversations with a provider: as in the samples, and with corrupted responses."""

    def test_driver_follows_the_sample(self, sample: dict[str, Any]) -> None:
        """The driver sends what the sample expects, and interprets the response correctly."""
        driver = self._driver(sample.get("options", ""))
        expect = sample["expect"]
        if "webhook" in sample:
            assert isinstance(driver, ReadsWebhooks)
            event = driver.parse_webhook(webhook_of(sample["webhook"]))
            assert ({"event": None} if event is None else as_expected(event)) == expect
            if event is not None and isinstance(driver, NamesParameters):
                names = {name for name, _ in webhook_of(sample["webhook"]).parameters}
                assert not any(names.isdisjoint(alternatives) for alternatives in driver.webhook_parameters)
            return
        result, asked = overhear(self._call(driver, sample), responses_of(sample))
        assert as_expected(result) == expect
        requests = [request for request in asked if isinstance(request, HttpRequest)]
        assert len(requests) == len(sample.get("exchange", ()))
        base_path = urlsplit(driver.base_url).path
        for request, step in zip(requests, sample.get("exchange", ()), strict=True):
            assert request.url.startswith(driver.base_url)
            assert request.url.removeprefix(driver.base_url)[:1] in ("", "/", "?")
            for name, value in step.get("request", {}).items():
                assert part_of(request, name, base_path) == value, name

    @with_every_sample
    def test_every_sample_gives_a_sound_result(self, sample: dict[str, Any]) -> None:
        """A receipt has exactly what its channel needs."""
        if "webhook" not in sample:
            driver = self._driver(sample.get("options", ""))
            result, _ = overhear(self._call(driver, sample), responses_of(sample))
            self._assert_sound(result, driver, sample)

    @with_every_sample
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
                        assert result.state not in CALLS, status
                    case bool():
                        assert result is False, status
                    case _:
                        assert isinstance(result, ProviderError), status

    @with_every_sample
    def test_lost_response_is_no_success(self, sample: dict[str, Any]) -> None:
        """A missing response is a refusal or unclear; always unclear if that request may carry the
        order.
        """
        for driver, step, responses in self._steps(sample):
            asks, last = sample.get("call") in QUESTIONS, step + 1 == len(responses)
            for lost in (ProviderError(FailureKind.TRANSIENT, "down"), UnclearError("late")):
                result, _ = overhear(self._call(driver, sample), chain(responses[:step], repeat(lost)))
                assert isinstance(result, ProviderError | UnclearError)
                if last and not asks:
                    assert type(result) is type(lost)

    @with_every_sample
    def test_garbage_is_no_success(self, sample: dict[str, Any]) -> None:
        """A meaningless 2xx is unclear or a refusal, and no other error."""
        for driver, step, responses in self._steps(sample):
            if not is_read(sample, step):
                continue
            for status in (200, 201, 204):
                for name, body in GARBAGE.items():
                    answers = chain(responses[:step], repeat(HttpResponse(status, {}, body)))
                    result, _ = overhear(self._call(driver, sample), answers)
                    assert result is not True
                    assert not isinstance(result, Receipt | DeliveryReport | ProviderAccount | str), name
                    assert not isinstance(result, Sighting) or result.state not in CALLS, name

    @with_every_sample
    def test_unread_body_changes_nothing(self, sample: dict[str, Any]) -> None:
        """If the HTTP status alone decides, any 2xx with any body is as good as the sample's."""
        for driver, step, responses in self._steps(sample):
            if is_read(sample, step):
                continue
            for status in (200, 201, 202, 204):
                for name, body in GARBAGE.items():
                    answers = [*responses]
                    answers[step] = HttpResponse(status, {}, body)
                    result, _ = overhear(self._call(driver, sample), answers)
                    assert as_expected(result) == sample["expect"], name

    @pytest.mark.fuzz
    @with_every_sample
    def test_any_json_is_read_or_refused(self, sample: dict[str, Any]) -> None:
        """For any JSON at any place of the reply, the result is valid or one of the two errors."""
        for driver, step, responses in self._steps(sample):
            self._try_any_json(driver, sample, step, responses)

    @with_every_sample
    def test_no_error_repeats_a_secret(self, sample: dict[str, Any]) -> None:
        """A provider that repeats credential, code and number in its response, or the headers of the
        request, doesn't get them into an error.
        """
        secrets = self._secrets(sample)
        for driver, step, responses in self._steps(sample, spoilt=True):
            _, sent = overhear(self._call(driver, sample), responses)
            headers = chain.from_iterable(each.headers.values() for each in sent if isinstance(each, HttpRequest))
            spoken = " ".join((*secrets, *chain.from_iterable(map(spellings_of, self._credentials())), *headers))
            body = responses[step].json()
            replies = [with_strings(body, "{} " + spoken), with_strings(body, spoken)]
            replies += [dict.fromkeys(("error", "message", "detail", "Status", "code", "msg"), spoken), spoken]
            for status in (200, 201, 400, 401, 403, 500):
                for reply in replies:
                    spoken_in = HttpResponse(status, {}, json.dumps(reply).encode())
                    answers = chain(responses[:step], [spoken_in], responses[step + 1 :], repeat(spoken_in))
                    result, asked = overhear(self._call(driver, sample), answers)
                    if isinstance(result, ProviderError | UnclearError | DeliveryReport):
                        for text in (str(result), repr(result), getattr(result, "detail", "")):
                            assert_hidden(text, secrets)
                    for request in asked:
                        assert_hidden(repr(request), secrets)
                        assert not isinstance(request, HttpRequest) or request.host == urlsplit(driver.base_url).netloc

    @with_every_sample
    def test_repeated_parameter_verifies_nothing(self, sample: dict[str, Any]) -> None:
        """A webhook with a repeated significant parameter, even with the same value, is not an event."""
        if "webhook" not in sample or not any(sample["expect"].values()) or "rejected" in sample["expect"]:
            return
        driver = self._driver(sample.get("options", ""))
        assert isinstance(driver, ReadsWebhooks)
        request = webhook_of(sample["webhook"])
        assert driver.parse_webhook(request)
        repeated = [
            driver.parse_webhook(dataclasses.replace(request, parameters=[*request.parameters, (name, value)]))
            for name, value in request.parameters
            if name in self._telling(driver, request)
        ]
        # A document is signed as a whole.
        assert repeated or not request.parameters
        assert all(event is None or isinstance(event, Rejected) for event in repeated)
