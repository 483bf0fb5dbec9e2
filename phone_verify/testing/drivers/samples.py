"""Reading of samples, and the result of an exchange in their form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ...drivers.base import Driver, OrderQuestion, Starts
from ...errors import ProviderError, UnclearError
from ...exchange import (
    FORM,
    Exchange,
    HttpRequest,
    HttpResponse,
    Notice,
    RecallToken,
    Rejected,
    Request,
    StoreToken,
    WebhookReply,
    WebhookRequest,
    parameters_of,
)
from ...model import DeliveryReport, IncomingCall, Order, ProviderAccount, Receipt, Sighting
from ...phone import PhoneNumber

#: The time at which samples send and receive.
SAMPLE_TIME = datetime(2026, 1, 1, tzinfo=UTC)

#: No driver needs more requests than this for one order.
MOST_REQUESTS = 4

Result = Receipt | Sighting | bool | DeliveryReport | ProviderAccount | str | ProviderError | UnclearError


def overhear(
    exchange: Exchange[Any], answers: Iterable[HttpResponse | ProviderError | UnclearError]
) -> tuple[Any, list[Request]]:
    """Run an exchange against these responses; return its result or the error it raised, and its
    requests.

    An error among the responses is raised by the transport in place of one.
    """
    asked: list[Request] = []
    remaining = iter(answers)
    try:
        request = next(exchange)
        while True:
            if isinstance(request, RecallToken | StoreToken):
                request = exchange.send(HttpResponse(200 if isinstance(request, StoreToken) else 404))
                continue
            asked.append(request.signed(SAMPLE_TIME) if isinstance(request, HttpRequest) else request)
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


def start_order(driver: Driver, order: Order) -> Exchange[Receipt]:
    """Return the exchange in which the driver starts this order."""
    assert isinstance(driver, Starts)
    return driver.start(order)


def responses_of(sample: Mapping[str, Any]) -> list[HttpResponse]:
    """Return the responses of a sample's conversation, in order."""
    return [response_of(step["response"]) for step in sample.get("exchange", ())]


def is_read(sample: Mapping[str, Any], step: int) -> bool:
    """Return whether the body of this response carries information."""
    return bool(sample["exchange"][step].get("read", True))


def response_of(content: Mapping[str, Any]) -> HttpResponse:
    """Return a response as it is written in a sample."""
    body = content.get("body", "")
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    headers = {name.lower(): value for name, value in content.get("headers", {}).items()}
    return HttpResponse(content["status"], headers, text.encode())


def webhook_of(content: Mapping[str, Any]) -> WebhookRequest:
    """Return a webhook as it is written in a sample, received at `SAMPLE_TIME`."""
    form, query, document = content.get("form", ""), content.get("query", ""), content.get("json")
    headers = {name.lower(): value for name, value in content.get("headers", {}).items()}
    if form:
        headers.setdefault("content-type", FORM)
    body = form or content.get("body") or ("" if document is None else json.dumps(document, ensure_ascii=False))
    parameters = [*parameters_of(query), *parameters_of(form)]
    url = content.get("url", "https://site.example/phone/webhooks/driver/secret") + (f"?{query}" if query else "")
    return WebhookRequest(content["method"], parameters, headers, body.encode(), url, SAMPLE_TIME)


def part_of(request: HttpRequest, name: str, base_path: str) -> object:
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


def as_expected(result: object) -> dict[str, object]:
    """Return a result in the form of a sample's `expect`."""
    match result:
        case Receipt():
            return {"receipt": plain_fields(result)}
        case Sighting():
            return {"sighting": plain_fields(result)}
        case Rejected():
            return {"rejected": True}
        case WebhookReply():
            return {"reply": result.text}
        case tuple():
            return {"events": [as_expected(event) for event in result]}
        case OrderQuestion():
            return {"question": plain_fields(result)}
        case IncomingCall():
            return {"event": plain_fields(result)}
        case DeliveryReport():
            return {"delivery": plain_fields(result)}
        case ProviderAccount():
            return {"account": plain_fields(result)}
        case bool():
            return {"right": result}
        case str():
            return {"missing": result}
        case None:
            return {"close": True}
        case ProviderError():
            return {"refusal": str(result.trouble)}
        case UnclearError():
            return {"unclear": True}
        case _:
            raise AssertionError(f"no result of a driver: {result!r}")


def plain_fields(
    value: Receipt | Sighting | IncomingCall | DeliveryReport | ProviderAccount | OrderQuestion,
) -> dict[str, str]:
    """Return the fields that have a value, as texts."""
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {
        name: content.e164 if isinstance(content, PhoneNumber) else str(content)
        for name, content in fields.items()
        if content not in (None, "")
    }
