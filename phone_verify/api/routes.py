"""The routes of the API, and the rules that apply to all calls."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ..errors import StoreError
from ..http.call import BODY_LIMIT, WEBHOOK_LIMIT, ApiRequest, ApiResponse, ApiResult, ApiStream
from ..http.problems import localized, problem, unavailable
from ..http.site import Site
from ..sync import run
from ..verifier.operations import AsyncVerifier
from . import access_keys, event_stream, health, metrics, openapi, session, token, verifications, webhooks
from .services import service_of_call

log = logging.getLogger("phone_verify")

Handler = Callable[..., Coroutine[Any, Any, ApiResult]]

_ROUTES: Sequence[tuple[str, dict[str, Handler]]] = (
    (r"v1/verifications", {"POST": verifications.start}),
    (r"v1/verifications/(?P<id>[^/]+)", {"GET": verifications.get, "DELETE": verifications.cancel}),
    (r"v1/verifications/(?P<id>[^/]+)/check", {"POST": verifications.check}),
    (r"v1/verifications/(?P<id>[^/]+)/resend", {"POST": verifications.resend}),
    (r"v1/verifications/(?P<id>[^/]+)/redeem", {"POST": access_keys.redeem}),
    (r"v1/verifications/(?P<id>[^/]+)/events", {"GET": event_stream.show}),
    (r"v1/session", {"POST": session.create, "GET": session.show, "DELETE": session.delete}),
    (r"v1/session/phone", {"PUT": session.set_phone}),
    (r"v1/token", {"POST": token.issue}),
    (r"v1/health", {"GET": health.show}),
    (r"v1/ready", {"GET": health.show_ready}),
    (r"v1/metrics", {"GET": metrics.show}),
    (r"v1/openapi\.json", {"GET": openapi.show}),
    (r"webhooks/(?P<driver>[^/]+)/(?P<secret>[^/]+)", {"GET": webhooks.receive, "POST": webhooks.receive}),
)
_COMPILED = [(re.compile(pattern), handlers) for pattern, handlers in _ROUTES]


#: The calls that need the signed-in user, and those that need it if the client sends a session or a token.
_NEEDS_USER = (("v1/session", "GET"), ("v1/session", "HEAD"), ("v1/session/phone", "PUT"))
_NEEDS_USER_IF_SENT = re.compile(r"v1/verifications(/[^/]+/resend)?")
#: The calls that are for one service; webhooks are for the verifications of all.
_OF_SERVICES = re.compile(r"v1/(verifications|session|token)(/.*)?", re.DOTALL)
#: The calls that count in the limits of an OAuth client.
_FOR_CLIENTS = re.compile(r"v1/verifications(/[^/]+/(resend|check))?")


def needs_user(path: str, method: str, *, identified: Callable[[], bool]) -> bool:
    """Return whether a call needs the signed-in user, and the session's notes.

    `identified` returns whether the client sends a session or a token: without one a start or resend
    reads no session and no account. It is not called for other calls, since it may touch the session.
    """
    if method == "POST" and _NEEDS_USER_IF_SENT.fullmatch(path):
        return identified()
    return (path, method) in _NEEDS_USER


def accepts_client(path: str, method: str) -> bool:
    """Return whether the token of an OAuth client counts for this call: for others it is not read."""
    return method == "POST" and _FOR_CLIENTS.fullmatch(path) is not None


def methods_of(path: str) -> Sequence[str]:
    """Return the methods that a call to this path may have; none for an unknown path."""
    found = _found(path)
    return () if found is None else found[1]


def _found(path: str) -> tuple[dict[str, Handler], Sequence[str], dict[str, Any]] | None:
    """Return the handlers of a path, the methods that a call to it may have, and what its pattern names."""
    for pattern, handlers in _COMPILED:
        if match := pattern.fullmatch(path):
            # Not for webhooks: their GET has side effects.
            answers_head = "GET" in handlers and path.startswith("v1/")
            return handlers, [*handlers, *(["HEAD"] if answers_head else [])], match.groupdict()
    return None


def body_limit(path: str) -> int:
    """Return how many bytes of a body to this path are read.

    A longer one makes `ApiRequest.body` None.
    """
    return WEBHOOK_LIMIT if path.startswith("webhooks/") else BODY_LIMIT


def handle(site: Site, call: ApiRequest) -> ApiResult:
    """Handle a call. Never raises: an unavailable store gives 503; a bug gives 500 and is logged."""
    return run(dispatch(site, site.verifier.flows, call))


async def ahandle(site: Site, call: ApiRequest) -> ApiResult:
    """As `handle`, with the site's async verifier."""
    return await dispatch(site, site.async_verifier, call)


async def for_program(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse | ApiStream:
    """As `dispatch`, for a call that presents an access key. It signs no one in or out."""
    result = await dispatch(site, flows, call)
    if isinstance(result, ApiResponse | ApiStream):
        return result
    raise TypeError(f"a call with an access key must not have the result {type(result).__name__}")


async def dispatch(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResult:
    """As `handle`, with this verifier of the site."""
    if call.multiprocess:
        site.warn_multiprocess()
    try:
        return _finish(call, await _route(site, flows, call))
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        return _finish(call, unavailable())
    except Exception:
        log.exception("internal error in phone_verify; nothing was accepted")
        return _finish(call, problem(500, "internal_error", "Something went wrong on our side."))


async def _route(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResult:
    found = _found(call.path)
    if found is None:
        return problem(404, "not_found", "Not found.")
    handlers, allowed, arguments = found
    if call.method == "OPTIONS" and call.path.startswith("v1/"):
        # It says nothing about a verification. `cors_headers` adds what a browser needs.
        return ApiResponse(204, headers={"Allow": ", ".join([*allowed, "OPTIONS"])})
    if call.method not in allowed:
        return problem(405, "method_not_allowed", "Method not allowed.", allow=allowed)
    admitted = await access_keys.with_key(site, flows, call)
    if isinstance(admitted, ApiResponse):
        return admitted
    flows, call = admitted
    # A key is of one service: a verification of another one is unknown to it.
    if call.access_key is None and _OF_SERVICES.fullmatch(call.path):
        flows = await service_of_call(site, flows, arguments.get("id"))
    return await handlers["GET" if call.method == "HEAD" else call.method](site, flows, call, **arguments)


def _finish(call: ApiRequest, answer: ApiResult) -> ApiResult:
    if isinstance(answer, ApiResponse):
        return localized(call, answer.uncached())
    return answer
