"""Conversion of Django's request into an `ApiRequest`, and of an `ApiResponse` into Django's response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.http import HttpRequest, HttpResponse
from django.utils.encoding import escape_uri_path
from django.utils.translation import get_language

from phone_verify.api import ApiRequest, ApiResponse, Site
from phone_verify.before_send import ClientFacts
from phone_verify.http.client_facts import client_facts, with_form
from phone_verify.http.cookies import ALL_NAMES, COOKIE, DEVICE_COOKIE, cookie_arguments, cookie_name
from phone_verify.http.headers import EnvironHeaders
from phone_verify.http.page_headers import page_headers

from . import app_settings
from .app_settings import Masked

#: The detail of the refusal where `read_body` raises OSError.
INCOMPLETE_BODY = "The request body was incomplete."

_PIECE = 16 * 1024


def read_call(
    request: HttpRequest,
    path: str = "",
    *,
    body: bytes | None = b"",
    token: str | None = None,
    issues_tokens: bool = False,
    can_stream: bool = False,
) -> ApiRequest:
    """Return this request as a call for `path` under the mount; a page's without a body: Django reads the form."""
    cookies = {name: _masked_cookie(request, name) for name in ALL_NAMES}
    https = request.is_secure()
    return ApiRequest(
        method=request.method or "",
        path=path,
        headers=EnvironHeaders(request.META),
        query=request.META.get("QUERY_STRING", ""),
        body=body,
        cookie=cookies[cookie_name(COOKIE, https=https)],
        device_cookie=cookies[cookie_name(DEVICE_COOKIE, https=https)],
        peer=request.META.get("REMOTE_ADDR") or None,
        multiprocess=bool(request.META.get("wsgi.multiprocess")),
        language=get_language(),
        token=token,
        issues_tokens=issues_tokens,
        can_stream=can_stream,
    )


def read_body(request: HttpRequest, limit: int) -> bytes | None:
    """Return the body, or None if it is longer than `limit`; at most one byte more is read, despite Django's limit.

    Raises OSError if the body ends early.
    """
    stated = request.META.get("CONTENT_LENGTH") or ""
    # A chunked body has no length: Django reads nothing of it, although the server marks its end.
    chunked = not stated and request.META.get("wsgi.input_terminated")
    stream = request.META["wsgi.input"] if chunked else request
    body = b""
    while len(body) <= limit and (piece := stream.read(min(_PIECE, limit + 1 - len(body)))):
        body += piece
    if len(body) > limit:
        return None
    if stated.isdecimal() and len(body) < int(stated):
        raise ConnectionError("the body ended before its stated length")
    return body


def facts(request: HttpRequest, site: Site) -> ClientFacts:
    """Return what the site's `before_send` may know of a request whose form is not ours."""
    return client_facts(site, with_form(site, read_call(request), request.POST.dict()))


def form_is_longer(request: HttpRequest, limit: int) -> bool:
    """Return whether the posted form is longer than `limit` bytes; no more than that is read."""
    stated = request.META.get("CONTENT_LENGTH") or ""
    if stated:
        return not stated.isdecimal() or int(stated) > limit
    # Without a length Django reads nothing under WSGI, and the whole body under ASGI. Stored as
    # `_body`, these bytes are what `request.POST` parses.
    request._body = request.read(limit + 1)
    return len(request._body) > limit


def is_by_test_client(request: HttpRequest) -> bool:
    """Return whether Django's test client posted this form, without files: it sends multipart by default.

    Detected by the attribute with which that client disables the CSRF check; no server sets it.
    """
    return bool(getattr(request, "_dont_enforce_csrf_checks", False)) and not request.FILES


def protect(request: HttpRequest, answer: HttpResponse, site: Site, elsewhere: Iterable[str]) -> None:
    """Add the headers of our pages. Headers set by the view, and the site's own policy, are kept."""
    headers = dict(page_headers(site, elsewhere))
    if app_settings.site_has_policy(request):
        del headers["Content-Security-Policy"]
    for name, value in headers.items():
        answer.headers.setdefault(name, value)


def mount_of(request: HttpRequest, path: str) -> str:
    """Return the path under which our URLs are included, as in this request: `/phone/`."""
    return escape_uri_path(request.path.removesuffix(path))


def response(request: HttpRequest, site: Site, reply: ApiResponse) -> HttpResponse:
    """Return the Django response for a reply of the API."""
    headers = reply.all_headers
    answer = HttpResponse(reply.content or b"", status=reply.status, headers=headers)
    if "Content-Type" not in headers:
        del answer.headers["Content-Type"]
    # Django logs the path of every 4xx response, and our paths hold ids and webhook secrets.
    answer._has_been_logged = True  # type: ignore[attr-defined]
    finish(request, answer, site, cookie=reply.cookie)
    remember(request, answer, site, reply.device_cookie)
    return answer


def finish(
    request: HttpRequest,
    answer: HttpResponse,
    site: Site,
    headers: Mapping[str, str] | None = None,
    cookie: str | None = None,
) -> None:
    """Set headers and the new value of our cookie on a response; an empty value deletes the cookie."""
    for name, value in (headers or {}).items():
        answer.headers[name] = value
    if cookie is not None:
        _set_cookie(request, answer, site, COOKIE, cookie)


def remember(request: HttpRequest, answer: HttpResponse, site: Site, device_cookie: str | None) -> None:
    """Set the cookie of a trusted device; None leaves it unchanged."""
    if device_cookie is not None:
        _set_cookie(request, answer, site, DEVICE_COOKIE, device_cookie)


def _set_cookie(request: HttpRequest, answer: HttpResponse, site: Site, cookie: str, value: str) -> None:
    https, same_site = request.is_secure(), app_settings.session_same_site()
    answer.set_cookie(**cookie_arguments(site, cookie, value, https=https, same_site=same_site))


def _masked_cookie(request: HttpRequest, name: str) -> str:
    value: str = request.COOKIES.get(name, "")
    if value:
        request.COOKIES[name] = Masked(value)  # error reports list cookies, and this one holds secrets
    return value
