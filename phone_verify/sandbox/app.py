"""The sandbox as a WSGI application: providers, test API and page behind one guard."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule
from werkzeug.wrappers import Request, Response

from phone_verify.sandbox import api, page
from phone_verify.sandbox.faults import spoilt
from phone_verify.sandbox.guard import is_cross_site, is_known_host
from phone_verify.sandbox.journal import MASK, Entry, masked, masked_answer
from phone_verify.sandbox.phones import Wait
from phone_verify.sandbox.problem import Problem
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.protocols.base import Answer, Provider, RefusedError, Route, UnreadableError, Visit
from phone_verify.sandbox.state import SandboxState
from phone_verify.sandbox.webhooks import Forgery, Hook

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
#: When a provider that hangs gives up: longer than any client's time-out.
HANG = 120.0
_JOURNALED_HEADERS: Final = ("Content-Type", "Authorization")

Endpoint = Callable[["Sandbox", Request, Mapping[str, str]], Response]


class _BoundedRequest(Request):
    max_content_length = MAX_BODY
    max_form_memory_size = MAX_BODY
    max_form_parts = 100


class Sandbox(SandboxState):
    """A phone network with its providers, as a WSGI application. Arguments: see `SandboxState`."""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Respond to one request. A fault that hangs raises ConnectionAbortedError, on which
        servers close the connection.
        """
        request = _BoundedRequest(environ)
        response = self._respond(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        try:
            if not is_known_host(request.headers.get("Host"), self._hosts):
                raise Problem(HTTPStatus.FORBIDDEN, "only loopback host names are allowed")
            endpoint, path = self._find(request)
            return endpoint(self, request, path)
        except Problem as problem:
            return _answer(request, problem)
        except HTTPException as error:
            return _answer(request, Problem(HTTPStatus(error.code or 500), error.description or ""))

    def _find(self, request: Request) -> tuple[Endpoint, Mapping[str, str]]:
        adapter = _url_map().bind_to_environ(request.environ)
        try:
            endpoint, path = adapter.match()
        except MethodNotAllowed as error:
            allowed = ", ".join(sorted(set(error.valid_methods or ()) - {"HEAD"}))
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"send {allowed}", allow=allowed) from error
        except (NotFound, RequestRedirect) as error:
            raise Problem(HTTPStatus.NOT_FOUND, "not found") from error
        return endpoint, path

    def serve(self, provider: Provider, route: Route, request: Request, path: Mapping[str, str]) -> Response:
        """Respond to one request to a provider, applying its faults."""
        # Werkzeug accepts HEAD wherever GET is allowed, but requesting a call by HEAD would still
        # ring.
        if request.method != route.method:
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"send {route.method}", allow=route.method)
        _refuse_cross_site(request)
        visit = Visit(provider, request, path, self.network, self.faults, self._ask_site)
        answer = self._visited(visit, route)
        self._journal(visit, route, None if visit.fault.hang else answer)
        if visit.fault.webhook_first:
            self._report(visit)
        if visit.fault.delay:
            self._pause(visit.fault.delay)
        if visit.fault.hang:
            self._pause(HANG)
            raise ConnectionAbortedError("a fault makes this request hang")
        response = Response(
            spoilt(answer.text, visit.fault.malformed),
            status=answer.status,
            headers=dict(answer.headers),
            content_type="text/html; charset=utf-8" if visit.fault.malformed == "html" else answer.content_type,
        )
        # Handsets with automatic calls are notified only now.
        response.call_on_close(lambda: self._follow_habits(visit.waits))
        # Likewise the site: without that fault, no report arrives before the response that names the message.
        if not visit.fault.webhook_first:
            response.call_on_close(lambda: self._report(visit))
        return response

    def _follow_habits(self, waits: Iterable[Wait]) -> None:
        for wait in waits:
            handset = self.network.handset(wait.phone)
            if handset and (habit := handset.habit):
                call = partial(self.dial, wait.phone, wait.line, caller=habit.caller, hidden=habit.hidden)
                self._later(habit.dials_after, call)

    def _report(self, visit: Visit) -> None:
        for hook in visit.reports:
            send = partial(self._send_hook, hook, visit.fault.webhook_signature)
            if visit.fault.webhook_delay:
                self._later(visit.fault.webhook_delay, send)
            else:
                send()
        for seconds, make in visit.later_reports:
            self._later(seconds, partial(self._send_made, make, visit.fault.webhook_signature))

    def _send_made(self, make: Callable[[], Hook | None], forgery: Forgery | None) -> None:
        if hook := make():
            self._send_hook(hook, forgery)

    def _visited(self, visit: Visit, route: Route) -> Answer:
        try:
            return route.handler(visit)
        except RefusedError as refusal:
            return visit.provider.refuse(visit, refusal.name)
        except UnreadableError:
            return visit.provider.refuse(visit, visit.provider.unreadable)

    def _journal(self, visit: Visit, route: Route, answer: Answer | None) -> None:
        provider, request = visit.provider, visit.request
        status = answer.status if answer else None
        path = route.path
        for name, value in visit.path.items():
            path = path.replace(f"<{name}>", MASK if name in provider.secrets else value[:100])
        headers = {name: request.headers[name][:200] for name in _JOURNALED_HEADERS if name in request.headers}
        self.journal.add(
            Entry(
                at=self.network.now(),
                provider=provider.name,
                method=request.method,
                path=path,
                status=status,
                headers={name: MASK if name == "Authorization" else value for name, value in headers.items()},
                params=masked(visit.params, provider.secrets),
                answer=_shown(answer, visit) if answer else None,
            )
        )
        self.network.touch()
        # The pattern, not the path: it contains neither token nor number.
        logger.info("%s %s %s -> %s", provider.name, request.method, route.path, status or "no answer")


def _shown(answer: Answer, visit: Visit) -> str:
    """Return the response as it is sent, without secrets."""
    return spoilt(masked_answer(answer.text, answer.content_type, visit.provider.secrets), visit.fault.malformed)


def _answer(request: Request, problem: Problem) -> Response:
    """Return a problem as a page for a browser, else as JSON: programs do not ask for HTML by name."""
    if any(kind == "text/html" for kind, _ in request.accept_mimetypes):
        return page.problem_page(problem)
    return problem.answer


def _refuse_cross_site(request: Request) -> None:
    if is_cross_site(request):
        raise Problem(HTTPStatus.FORBIDDEN, "cross-site requests are not allowed")


def _paged(route: page.PageRoute) -> Endpoint:
    return lambda sandbox, request, path: route.handler(sandbox, request)


def _controlled(route: api.ControlRoute) -> Endpoint:
    def handle(sandbox: Sandbox, request: Request, path: Mapping[str, str]) -> Response:
        if request.method != "GET":
            _refuse_cross_site(request)
        return route.handler(sandbox, request, path)

    return handle


def _provided(provider: Provider, route: Route) -> Endpoint:
    return lambda sandbox, request, path: sandbox.serve(provider, route, request, path)


@cache
def _url_map() -> Map:
    """Build the URL map. It is independent of any sandbox, so all of them share it."""
    rules = [Rule(route.path, methods=[route.method], endpoint=_paged(route)) for route in page.ROUTES]
    rules += [Rule(route.path, methods=[route.method], endpoint=_controlled(route)) for route in api.ROUTES]
    rules += [
        Rule(path, methods=[route.method], endpoint=_provided(provider, route), strict_slashes=route.exact_slash)
        for provider in PROVIDERS.values()
        for route in provider.routes
        # Each protocol is also mounted under the provider's name, for providers whose paths
        # collide.
        for path in (route.path, f"/{provider.name}{route.path}")
    ]
    return Map(rules, merge_slashes=False, strict_slashes=False)
