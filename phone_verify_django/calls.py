"""Django's request into a `ApiRequest`, a `ApiResponse` into Django's response."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from django.http import HttpRequest, HttpResponse
from django.utils.encoding import escape_uri_path
from django.utils.translation import get_language

from phone_verify.api import ApiRequest, ApiResponse, SessionUser, Site, body_limit
from phone_verify.http.cookies import ALL_NAMES, COOKIE, DEVICE_COOKIE, cookie_arguments, cookie_name
from phone_verify.http.page_headers import page_headers

from . import app_settings
from .app_settings import Masked

_PIECE = 16 * 1024


def read_call(request: HttpRequest, path: str, *, user: SessionUser | None = None) -> ApiRequest:
    """The call of the API that this request is. Raises OSError if its body does not arrive whole."""
    return _call(request, path, _body(request, body_limit(path)), user)


def page_call(request: HttpRequest) -> ApiRequest:
    """The call that a page's request is; its form is read by Django."""
    return _call(request, "", b"", None)


def form_is_longer(request: HttpRequest, limit: int) -> bool:
    """Whether the posted form is longer than this; no more of it is read."""
    stated = request.META.get("CONTENT_LENGTH") or ""
    if stated:
        return not stated.isdecimal() or int(stated) > limit
    # Without a length Django reads nothing under WSGI, and under ASGI all that has come. As `_body` what was read
    # here is what `request.POST` parses.
    request._body = request.read(limit + 1)
    return len(request._body) > limit


def is_by_test_client(request: HttpRequest) -> bool:
    """Whether Django's test client posted this form, and without files: it sends `multipart/form-data` by default.

    The mark is the one by which that client switches the check of the token off; no server sets it.
    """
    return bool(getattr(request, "_dont_enforce_csrf_checks", False)) and not request.FILES


def protect(request: HttpRequest, answer: HttpResponse, site: Site, elsewhere: Iterable[str]) -> None:
    """Add the headers of our pages; those that the view has set stay, and so does the site's own policy."""
    headers = dict(page_headers(site, elsewhere))
    if app_settings.site_has_policy(request):
        del headers["Content-Security-Policy"]
    for name, value in headers.items():
        answer.headers.setdefault(name, value)
    if "X-Frame-Options" not in headers:
        answer.xframe_options_exempt = True  # read by XFrameOptionsMiddleware


def mount_of(request: HttpRequest, path: str) -> str:
    """The path under which our URLs are included, as this request came by it: `/phone/`."""
    return escape_uri_path(request.path.removesuffix(path))


def response(request: HttpRequest, site: Site, path: str, reply: ApiResponse) -> HttpResponse:
    """The response that says what the reply says."""
    content = b""
    if reply.document is not None:
        content = json.dumps(reply.document, ensure_ascii=False).encode()
    elif reply.text is not None:
        content = reply.text.encode()
    answer = HttpResponse(content, status=reply.status, content_type=reply.content_type or "text/plain")
    if reply.content_type is None:
        del answer.headers["Content-Type"]
    # Django writes the path of every refusal to its log, and ours hold ids and webhook secrets.
    answer._has_been_logged = True  # type: ignore[attr-defined]
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    mount = mount_of(request, path)
    finish(request, answer, site, mount, reply.headers, reply.cookie)
    remember(request, answer, site, mount, reply.device_cookie)
    return answer


def finish(
    request: HttpRequest,
    answer: HttpResponse,
    site: Site,
    mount: str,
    headers: Mapping[str, str] | None = None,
    cookie: str | None = None,
) -> None:
    """Put headers and the new value of our cookie on a response; an empty value takes the cookie away."""
    for name, value in (headers or {}).items():
        answer.headers[name] = value
    if cookie is not None:
        _set_cookie(request, answer, site, mount, COOKIE, cookie)


def remember(request: HttpRequest, answer: HttpResponse, site: Site, mount: str, device_cookie: str | None) -> None:
    """Let the browser show from now on that it has signed in; None leaves it as it is."""
    if device_cookie is not None:
        _set_cookie(request, answer, site, mount, DEVICE_COOKIE, device_cookie)


def _set_cookie(request: HttpRequest, answer: HttpResponse, site: Site, mount: str, cookie: str, value: str) -> None:
    https, same_site = request.is_secure(), app_settings.session_same_site()
    answer.set_cookie(**cookie_arguments(site, cookie, value, https=https, mount=mount, same_site=same_site))


def _call(request: HttpRequest, path: str, body: bytes | None, user: SessionUser | None) -> ApiRequest:
    shown = {name: _taken(request, name) for name in ALL_NAMES}
    https = request.is_secure()
    return ApiRequest(
        method=request.method or "",
        path=path,
        headers={name.lower(): value for name, value in request.headers.items()},
        query=request.META.get("QUERY_STRING", ""),
        body=body,
        cookie=shown[cookie_name(COOKIE, https=https)],
        device_cookie=shown[cookie_name(DEVICE_COOKIE, https=https)],
        peer=request.META.get("REMOTE_ADDR") or None,
        user=user,
        multiprocess=bool(request.META.get("wsgi.multiprocess")),
        language=get_language(),
    )


def _taken(request: HttpRequest, name: str) -> str:
    value: str = request.COOKIES.get(name, "")
    if value:
        request.COOKIES[name] = Masked(value)  # it holds secrets, and error reports list cookies
    return value


def _body(request: HttpRequest, limit: int) -> bytes | None:
    """The body, or None if it is longer than `limit`: not a byte more is read, whatever Django's own limit is."""
    stated = request.META.get("CONTENT_LENGTH") or ""
    # A chunked body has no length; Django reads none of it, though the server says where it ends.
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
