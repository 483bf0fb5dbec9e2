"""The test API: JSON under `/api/`, for tests and for the page.

    GET    /api/handsets                  all handsets with messages and calls, newest first
    POST   /api/handsets                  {"phone": "+989120000000"}: add one
    DELETE /api/handsets                  delete everything: handsets, waits and records
    GET    /api/handsets/{phone}          one handset; its "waits" are the lines that it is expected to call
    DELETE /api/handsets/{phone}          delete it with its waits
    DELETE /api/handsets/{phone}/{id}     delete one message or call
    GET    /api/handsets/{phone}/code     the newest code that arrived: {"id", "code", "channel", "provider"}.
                                          ?wait=SECONDS (at most 30) waits for one, ?after=ID requires one newer
                                          than that; 404 if none has arrived
    POST   /api/handsets/{phone}/dial     {"number": "79990000001"}: this handset calls a number. Optional:
                                          "caller" (shows another number), "hidden": true (shows none).
                                          Returns {"number", "busy", "matched", "waits": [{"id", "provider",
                                          "phone", "confirmed", "webhooks"}]}
    GET    /api/faults                    current and available faults, per provider
    PUT    /api/faults                    {"provider": "amoot", ...}: set a fault. Optional "phone", to limit it
                                          to that phone. Any of: "refuse" (one of the provider's errors), "delay"
                                          (seconds), "hang", "lose", "double", "hidden_caller" (true),
                                          "foreign_caller" (a number), "malformed" ("cut", "empty", "html",
                                          "types"), "webhook_signature" ("wrong_key", "stale", "unsigned"),
                                          "webhook_delay" (seconds), "webhook_first" (true: before the response),
                                          "variants" (response formats), "times" (limit to this many requests).
                                          Replaces an earlier fault of the same provider and phone
    DELETE /api/faults                    remove all faults; with ?provider=, and ?phone=, only that one
    GET    /api/webhooks                  the URLs set in the providers' accounts, for webhooks whose URL no
                                          request names; "keys" are those that a site needs for signatures
    PUT    /api/webhooks                  {"provider": "ssms", "url": "http://127.0.0.1:8000/hook"}: set one; plain
                                          http on this machine only, null for none
    GET    /api/scenario                  the current behaviour as a file (YAML, or JSON on request): faults,
                                          handsets and their automatic calls, webhooks, lines
    PUT    /api/scenario                  such a file, in YAML or JSON: apply this behaviour from now on.
                                          Handsets keep what they received
    GET    /api/webhooks/deliveries       the last 200 requests to webhooks, newest first, secrets masked
    GET    /api/requests                  the last 200 requests to providers, newest first, secrets masked; "answer"
                                          is the start of the response
    GET    /api/dispatches                what providers sent: "done", "failed", or "unknown" as yet
    GET    /api/events                    server-sent events: "change" whenever any of this may differ

Phones and numbers are E.164 with or without `+`; in JSON and paths `0912…` and `8900…` are accepted
too. Errors are `application/problem+json`. The sandbox accepts all credentials except four:
`WRONG`, `EXPIRED`, `INACTIVE` and `NO-CREDIT` return each provider's own error.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from werkzeug.wrappers import Request, Response

from phone_verify.sandbox.calls import Dialled
from phone_verify.sandbox.faults import WAYS_TO_SPOIL, Fault, FaultError, read_fault
from phone_verify.sandbox.guard import local_site
from phone_verify.sandbox.numbers import read_number
from phone_verify.sandbox.phones import Habit, Handset, Message, PhoneCall, Wait
from phone_verify.sandbox.problem import Problem, json_response
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.scenario import ScenarioError, load, present, read_scenario, scenario_of
from phone_verify.sandbox.scenario_schema import WITH_WEBHOOK
from phone_verify.sandbox.state import SandboxState

LONGEST_WAIT = 30.0
_HEARTBEAT = 15.0
_FIELDS_OF_DIAL = frozenset({"number", "caller", "hidden"})
#: Types that another site's page can't send without a CORS preflight.
_YAML = frozenset({"application/yaml", "application/x-yaml"})


@dataclass(frozen=True, slots=True)
class ControlRoute:
    """One call of the test API."""

    method: str
    path: str
    handler: Callable[[SandboxState, Request, Mapping[str, str]], Response]


def list_handsets(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    now = sandbox.network.now()
    network = sandbox.network
    return json_response(
        {"handsets": [_handset(handset, network.open_waits(handset.phone), now) for handset in network.handsets()]}
    )


def add_handset(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    body = _object(request)
    phone = _phone(body.get("phone"))
    handset = sandbox.network.add_handset(phone)
    shown = _handset(handset, sandbox.network.open_waits(phone), sandbox.network.now())
    return json_response(shown, HTTPStatus.CREATED)


def clear_handsets(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    sandbox.network.clear()
    sandbox.journal.clear()
    return Response(status=HTTPStatus.NO_CONTENT)


def show_handset(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    handset = sandbox.network.handset(_phone(path["phone"]))
    if handset is None:
        raise Problem(HTTPStatus.NOT_FOUND, "handset not found")
    return json_response(_handset(handset, sandbox.network.open_waits(handset.phone), sandbox.network.now()))


def remove_handset(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    if not sandbox.network.remove_handset(_phone(path["phone"])):
        raise Problem(HTTPStatus.NOT_FOUND, "handset not found")
    return Response(status=HTTPStatus.NO_CONTENT)


def remove_item(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    written = path["id"]
    item = int(written) if written.isascii() and written.isdecimal() and len(written) <= 12 else -1
    if not sandbox.network.remove_item(_phone(path["phone"]), item):
        raise Problem(HTTPStatus.NOT_FOUND, "message or call not found")
    return Response(status=HTTPStatus.NO_CONTENT)


def newest_code(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    found = sandbox.network.await_code(
        _phone(path["phone"]),
        after=int(_number(request, "after", most=10**15)),
        timeout=_number(request, "wait", most=LONGEST_WAIT),
    )
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, "no code has arrived at this number yet")
    shown = {"id": found.id, "code": found.code, "channel": found.channel, "provider": found.provider}
    return json_response(shown)


def dial_number(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    phone = _phone(path["phone"])
    body = _object(request)
    if unknown := set(body) - _FIELDS_OF_DIAL:
        raise Problem(HTTPStatus.BAD_REQUEST, "unknown fields", fields=dict.fromkeys(unknown, "unknown"))
    hidden, caller = body.get("hidden", False), body.get("caller")
    if not isinstance(hidden, bool):
        raise Problem(HTTPStatus.BAD_REQUEST, "hidden is true or false", fields={"hidden": "true or false"})
    dialled = sandbox.dial(
        phone,
        _phone(body.get("number"), "number"),
        caller=None if caller is None else _phone(caller, "caller"),
        hidden=hidden,
    )
    return json_response(_dialled(dialled))


def list_faults(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    known = {
        provider.name: {
            "title": provider.title,
            "refuse": list(provider.refusals),
            "variants": {name: list(choices) for name, choices in provider.variants.items()},
        }
        for provider in PROVIDERS.values()
    }
    faults = [_fault(provider, phone, fault) for provider, phone, fault in sandbox.faults.all()]
    return json_response({"faults": faults, "known": known, "malformed": list(WAYS_TO_SPOIL)})


def set_fault(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    wish = _object(request)
    name, written = wish.pop("provider", None), wish.pop("phone", None)
    provider = PROVIDERS.get(name) if isinstance(name, str) else None
    if provider is None:
        one_of = "one of: " + ", ".join(PROVIDERS)
        raise Problem(HTTPStatus.BAD_REQUEST, f"provider is {one_of}", fields={"provider": one_of})
    phone = None if written is None else _phone(written)
    try:
        fault = read_fault(wish, provider)
    except FaultError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid fault", fields=error.fields) from error
    sandbox.faults.put(provider.name, phone, fault)
    sandbox.network.touch()
    return json_response(_fault(provider.name, phone, fault))


def clear_faults(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    provider, phone = request.args.get("provider"), request.args.get("phone")
    if provider is None and phone is None:
        sandbox.faults.clear()
    elif provider is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "`phone` requires `provider`")
    else:
        sandbox.faults.remove(provider, None if phone is None else _phone(phone))
    sandbox.network.touch()
    return Response(status=HTTPStatus.NO_CONTENT)


def list_webhooks(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    urls = sandbox.network.webhooks()
    keys = {provider.name: dict(provider.keys) for provider in PROVIDERS.values() if provider.keys}
    return json_response({"webhooks": {name: urls.get(name) for name in WITH_WEBHOOK}, "keys": keys})


def set_webhook(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    wish = _object(request)
    name, url = wish.get("provider"), wish.get("url")
    if name not in WITH_WEBHOOK:
        one_of = "one of: " + ", ".join(WITH_WEBHOOK)
        raise Problem(HTTPStatus.BAD_REQUEST, f"provider is {one_of}", fields={"provider": one_of})
    local = local_site(url) if isinstance(url, str) else None
    if url is not None and local is None:
        detail = "plain http on this machine, or null"
        raise Problem(HTTPStatus.BAD_REQUEST, f"url is {detail}", fields={"url": detail})
    sandbox.network.set_webhook(str(name), local[1] if local else None)
    return list_webhooks(sandbox, request, path)


def show_scenario(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    scenario = present(sandbox)
    if request.accept_mimetypes.best == "application/json":
        return json_response(scenario.as_json())
    response = Response(scenario.as_text(), mimetype="application/yaml")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Disposition"] = 'attachment; filename="scenario.yaml"'
    return response


def play_scenario(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    try:
        if request.mimetype in _YAML:
            scenario = read_scenario(request.get_data().decode())
        else:
            scenario = scenario_of(_object(request))
    except UnicodeDecodeError:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is not UTF-8") from None
    except ScenarioError as error:
        fields = {name or "file": what for name, what in error.fields.items()}
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid scenario", fields=fields) from error
    load(sandbox, scenario)
    return json_response(present(sandbox).as_json())


def list_deliveries(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    return json_response({"deliveries": [delivery.as_json() for delivery in sandbox.journal.deliveries()]})


def list_requests(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    return json_response({"requests": [entry.as_json() for entry in sandbox.journal.newest_first()]})


def list_dispatches(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    now = sandbox.network.now()
    return json_response(
        {
            "dispatches": [
                {
                    "id": dispatch.id,
                    "at": dispatch.at.isoformat(),
                    "provider": dispatch.provider,
                    "phone": dispatch.phone,
                    "channel": dispatch.channel,
                    "state": dispatch.state(now),
                }
                for dispatch in sandbox.network.dispatches()
            ]
        }
    )


def events(sandbox: SandboxState, request: Request, path: Mapping[str, str]) -> Response:
    if not sandbox.streams.acquire(blocking=False):
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many open event streams")
    response = Response(_changes(sandbox), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    # Also runs if the client disconnected before the first event.
    response.call_on_close(sandbox.streams.release)
    return response


ROUTES = (
    ControlRoute("GET", "/api/handsets", list_handsets),
    ControlRoute("POST", "/api/handsets", add_handset),
    ControlRoute("DELETE", "/api/handsets", clear_handsets),
    ControlRoute("GET", "/api/handsets/<phone>", show_handset),
    ControlRoute("DELETE", "/api/handsets/<phone>", remove_handset),
    ControlRoute("DELETE", "/api/handsets/<phone>/<id>", remove_item),
    ControlRoute("GET", "/api/handsets/<phone>/code", newest_code),
    ControlRoute("POST", "/api/handsets/<phone>/dial", dial_number),
    ControlRoute("GET", "/api/faults", list_faults),
    ControlRoute("PUT", "/api/faults", set_fault),
    ControlRoute("DELETE", "/api/faults", clear_faults),
    ControlRoute("GET", "/api/webhooks", list_webhooks),
    ControlRoute("PUT", "/api/webhooks", set_webhook),
    ControlRoute("GET", "/api/webhooks/deliveries", list_deliveries),
    ControlRoute("GET", "/api/scenario", show_scenario),
    ControlRoute("PUT", "/api/scenario", play_scenario),
    ControlRoute("GET", "/api/requests", list_requests),
    ControlRoute("GET", "/api/dispatches", list_dispatches),
    ControlRoute("GET", "/api/events", events),
)


def _changes(sandbox: SandboxState) -> Iterator[str]:
    """Yield one event for each change, and a periodic comment that detects disconnected clients."""
    version = sandbox.network.version
    yield f"retry: 1000\nevent: change\ndata: {version}\n\n"
    while not sandbox.network.closed:
        newer = sandbox.network.changed(version, _HEARTBEAT)
        yield ": still here\n\n" if newer == version else f"event: change\ndata: {newer}\n\n"
        version = newer


def _handset(handset: Handset, waits: Iterable[Wait], now: datetime) -> dict[str, object]:
    return {
        "phone": handset.phone,
        "added_at": handset.added_at.isoformat(),
        "messages": [_message(message) for message in handset.messages],
        "calls": [_call(call, now) for call in handset.calls],
        "habit": _habit(handset.habit),
        "waits": [
            {
                "id": wait.id,
                "provider": wait.provider,
                "number": wait.line,
                "expires_in": round((wait.expires_at - now).total_seconds(), 1),
            }
            for wait in waits
        ],
    }


def _habit(habit: Habit | None) -> dict[str, object] | None:
    if habit is None:
        return None
    return {"dials_after": habit.dials_after, "caller": habit.caller, "hidden": habit.hidden}


def _message(message: Message) -> dict[str, object]:
    return {
        "id": message.id,
        "at": message.at.isoformat(),
        "provider": message.provider,
        "channel": message.channel,
        "sender": message.sender,
        "text": message.text,
        "code": message.code,
    }


def _call(call: PhoneCall, now: datetime) -> dict[str, object]:
    return {
        "id": call.id,
        "at": call.at.isoformat(),
        "provider": call.provider,
        "channel": call.channel,
        "direction": call.direction,
        "number": call.number,
        "code": call.code,
        "hidden": not call.number,
        "ringing_for": round(call.ringing_for(now), 1),
        "busy": call.busy,
        "spoken": call.spoken,
        "language": call.language,
    }


def _dialled(dialled: Dialled) -> dict[str, object]:
    return {
        "number": dialled.number,
        "busy": dialled.busy,
        "matched": dialled.matched,
        "waits": [
            {
                "id": report.wait.id,
                "provider": report.wait.provider,
                "phone": report.wait.phone,
                "confirmed": report.wait.confirmed,
                "webhooks": list(report.webhooks),
            }
            for report in dialled.reports
        ],
    }


def _fault(provider: str, phone: str | None, fault: Fault) -> dict[str, object]:
    return {"provider": provider, "phone": phone, **fault.as_json()}


def _object(request: Request) -> dict[str, object]:
    """Parse the body as a JSON object. Its type must be JSON too: another site's page can't send
    that without a CORS preflight.
    """
    if not request.is_json:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
    try:
        value = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error
    if not isinstance(value, dict):
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
    return value


def _phone(written: object, name: str = "phone") -> str:
    phone = read_number(written)
    if phone is None:
        detail = "write the number with its country code, e.g. +989120000000"
        raise Problem(HTTPStatus.BAD_REQUEST, detail, fields={name: "not a phone number"})
    return phone


def _number(request: Request, name: str, *, most: float) -> float:
    text = request.args.get(name, "0")
    try:
        number = float(text) if text.isascii() and len(text) <= 16 else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name} is a number from 0 to {most:g}")
    return number
