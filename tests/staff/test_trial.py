"""Tests by staff: what they show of the message and of the provider's answers, and what they never show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phone_verify import Channel, PhoneNumber
from phone_verify.config.service_fields import FIELDS as FIELDS_OF_SERVICES
from phone_verify.errors import FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Reason
from phone_verify.staff import trial
from phone_verify.staff.call import Redirect, RefusedError, StaffCall
from phone_verify.staff.pages import answer
from phone_verify.staff.service_pages import FIELDS
from phone_verify.staff.trial import Trial, TrialError
from tests.services.sites import Bench, MemoryRows

PHONE = PhoneNumber("+989120000000")
TOKEN = "eyJhbGciOiJIUzI1NiJ9c2VjcmV0LXRva2Vu"


def bench(*answers: Any, **settings: Any) -> Bench:
    made = Bench(MemoryRows(), **{"sms": "amoot://a-token-of-the-tests@default", "public_url": None, **settings})
    made.transport.answers = list(answers)
    return made


def started(made: Bench, **more: Any) -> tuple[Any, Trial]:
    return trial.start(made.site, PHONE, **{"service": "default", "locale": "en", "subject": "user 1", **more})


def test_form_has_every_field_of_a_service() -> None:
    assert {each.name for each in FIELDS} == set(FIELDS_OF_SERVICES)


def test_answer_is_shown_without_number_code_and_token() -> None:
    def echo(request: HttpRequest) -> HttpResponse:
        body = {"Status": "Failed", "Mobile": PHONE.e164, "token": TOKEN, "said": "code 12-34-56"}
        return HttpResponse(200, body=json.dumps(body).encode())

    made = bench(echo)
    outcome, begun = started(made)
    assert outcome.reason is Reason.DELIVERY_FAILED
    [answer] = begun.answers
    assert (answer.status, answer.host) == (200, made.transport.requests[0].host)
    assert "Status : Failed" in answer.said
    for secret in (PHONE.e164, PHONE.e164[4:], TOKEN, "12-34-56", "a-token-of-the-tests"):
        assert secret not in repr(begun.kept())
    assert trial.state_of(made.site, begun) is None


def test_provider_that_cannot_be_reached_is_shown() -> None:
    made = bench(ProviderError(FailureKind.TRANSIENT, "connection refused"))
    _, begun = started(made)
    [answer] = begun.answers
    assert answer.status is None
    assert "connection refused" in answer.said


def test_text_is_shown_with_a_mask_even_if_the_site_is_named_like_the_code() -> None:
    made = Bench(MemoryRows(), site_name="123456")
    outcome, begun = started(made)
    assert outcome.ok
    assert made.code not in begun.text
    assert begun.text.startswith("•••••• is your 123456 code")
    assert made.code not in repr(begun.kept())


def test_session_that_holds_something_else_holds_no_test() -> None:
    for kept in (None, "x", ["a", "b"], [1, 2, 3, 4, 5, [[1]]], {"a": 1}):
        assert Trial.read(kept) is None
    begun = started(Bench(MemoryRows()))[1]
    assert Trial.read(json.loads(json.dumps(begun.kept()))) == begun


def test_unknown_service_and_key_are_refused() -> None:
    made = Bench(MemoryRows())
    with pytest.raises(TrialError, match="service"):
        started(made, service="nothing")
    with pytest.raises(TrialError, match="key"):
        started(made, key="3kTMd9aQz0Lw")


def test_service_that_another_process_has_just_created_can_be_tested() -> None:
    made = Bench(rows := MemoryRows())
    assert started(made)[0].ok
    rows.put("shop")
    form = {"start": "1", "service": "shop", "number": PHONE.e164}
    answered = answer(made.site, StaffCall("POST", "test/", lambda right: True, form=form))
    assert isinstance(answered, Redirect)
    assert not answered.is_error


def test_request_without_the_right_lets_no_one_read_the_services_again() -> None:
    made = Bench(rows := MemoryRows())
    assert started(made)[0].ok
    rows.calls.clear()
    with pytest.raises(RefusedError):
        answer(made.site, StaffCall("POST", "test/", lambda right: False, form={"start": "1"}))
    assert started(made)[0].ok
    assert rows.calls == []


def test_service_of_other_purposes_can_be_tested() -> None:
    rows = MemoryRows()
    rows.put("shop", purposes=["change_phone"], channels=["sms"])
    outcome, begun = started(Bench(rows), service="shop", channel=Channel.SMS)
    assert outcome.ok
    assert begun.service == "shop"
