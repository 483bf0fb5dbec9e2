"""Problem bodies (RFC 9457): the one place that defines the response to each refusal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus

from ..i18n.texts import PAGE, REASONS, reason_text
from ..model import Outcome, Reason
from .call import ApiRequest, ApiResponse

#: It is unknown when a store or a provider recovers: short enough for a person, long enough for a
#: machine.
_UNAVAILABLE_RETRY = timedelta(seconds=5)

#: HTTP status and `code` of each reason.
_OF_REASON = {
    Reason.DESTINATION_NOT_ALLOWED: (403, "destination_not_allowed"),
    Reason.NOT_CONFIGURED: (503, "unavailable"),
    Reason.CHANNEL_UNAVAILABLE: (409, "channel_unavailable"),
    Reason.TOO_MANY_REQUESTS: (429, "too_many_requests"),
    Reason.DELIVERY_FAILED: (502, "delivery_failed"),
    Reason.SEND_REFUSED: (403, "send_refused"),
    Reason.HOOK_FAILED: (503, "unavailable"),
    Reason.SERVICE_SUSPENDED: (503, "unavailable"),
    Reason.UNAVAILABLE: (503, "unavailable"),
    Reason.NOT_FOUND: (404, "not_found"),
    Reason.CLOSED: (410, "closed"),
    Reason.WRONG_CODE: (422, "wrong_code"),
    Reason.INVALID_PROOF: (400, "invalid_proof"),
    Reason.CHANNELS_LEFT: (400, "invalid_proof"),
    Reason.PROVIDER_UNAVAILABLE: (503, "unavailable"),
}


#: For programs; visitors read the text of any other failure.
SUSPENDED = "A cap or the balance of this service is used up. Top up its account or raise the cap."


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    fields: Sequence[str] = (),
    retry_after: timedelta | None = None,
    allow: Sequence[str] = (),
    more: Mapping[str, object] | None = None,
) -> ApiResponse:
    """Return a problem response.

    `retry_after` also becomes the header, in whole seconds rounded up.
    """
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **(more or {}),
    }
    headers = {}
    if fields:
        document["fields"] = list(fields)
    if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is None:
        retry_after = _UNAVAILABLE_RETRY
    if retry_after is not None:
        seconds = max(1, math.ceil(retry_after.total_seconds()))
        document["retry_after"] = seconds
        headers["Retry-After"] = str(seconds)
    if allow:
        headers["Allow"] = ", ".join(allow)
    return ApiResponse(status, document, headers=headers)


def invalid(detail: str, *fields: str) -> ApiResponse:
    """Return 400 for a body that does not fit the call."""
    return problem(400, "invalid_request", detail, fields=fields)


def unavailable(detail: str = PAGE["unavailable"]) -> ApiResponse:
    """Return 503: the store did not respond, unless `detail` names another cause."""
    return problem(503, "unavailable", detail)


def refusal(outcome: Outcome, *, keyed: bool = False) -> ApiResponse:
    """Return the problem for an unsuccessful outcome.

    `keyed` is whether another program called with an access key: only it learns that a service is suspended.
    """
    reason, record = outcome.reason, outcome.verification
    if reason is None:
        raise ValueError("this outcome is a success")
    if reason is Reason.MALFORMED_CODE:
        return invalid(REASONS[reason], "code")
    if reason is Reason.SERVICE_SUSPENDED and keyed:
        return problem(402, "service_suspended", SUSPENDED)
    status, code = _OF_REASON[reason]
    more: dict[str, object] = {}
    if reason is Reason.WRONG_CODE and record is not None:
        more["attempts_left"] = record.attempts_left
    if reason is Reason.CLOSED and record is not None:
        more["verification_status"] = record.state.value
    if outcome.cause is not None:
        more["cause"] = outcome.cause.value
    retry_after = outcome.retry_after if reason is Reason.TOO_MANY_REQUESTS else None
    fields = [outcome.at_fault] if outcome.at_fault is not None else []
    return problem(status, code, reason_text(outcome), fields=fields, retry_after=retry_after, more=more)


def localized(call: ApiRequest, reply: ApiResponse) -> ApiResponse:
    """Return the reply with its `detail` in the caller's language if it is a text for visitors.

    Others stay English.
    """
    detail = (reply.document or {}).get("detail")
    if reply.status < HTTPStatus.BAD_REQUEST or not isinstance(detail, str):
        return reply
    return replace(reply, document={**(reply.document or {}), "detail": call.texts.translated(detail)})
