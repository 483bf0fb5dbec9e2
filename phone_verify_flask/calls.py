"""Conversion of Flask requests to `ApiRequest`, and of `ApiResponse` to Flask responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, current_app, request
from werkzeug.wsgi import get_input_stream

from phone_verify.api import ApiRequest, ApiResponse
from phone_verify.http.cookies import COOKIE, DEVICE_COOKIE, cookie_arguments, cookie_name
from phone_verify.http.headers import EnvironHeaders

from .state import AppState, current_request, current_state

#: The key in WSGI's environ under which `asgi_app` receives event streams. No header can set it.
STREAMS = "phone_verify.streams"


class BrokenBodyError(Exception):
    """The request body ended early."""


def read_call(
    path: str,
    *,
    body: bytes | None = b"",
    token: str | None = None,
    issues_tokens: bool = False,
    can_stream: bool = False,
) -> ApiRequest:
    """Return the current request as a request for `path` under the mount."""
    asked = current_request()
    environ, cookies, https = asked.environ, asked.cookies, asked.is_secure
    return ApiRequest(
        method=asked.method,
        path=path,
        headers=EnvironHeaders(environ),
        query=asked.query_string.decode("utf-8", "replace"),
        body=body,
        cookie=cookies.get(cookie_name(COOKIE, https=https), ""),
        device_cookie=cookies.get(cookie_name(DEVICE_COOKIE, https=https), ""),
        peer=_peer(environ),
        multiprocess=bool(environ.get("wsgi.multiprocess")),
        language=_language(),
        token=token,
        issues_tokens=issues_tokens,
        can_stream=can_stream,
    )


def read_body(limit: int) -> bytes | None:
    """Return the body of the current request, or None if it is longer than `limit`; read at most one byte more.

    `request.get_data` would respond with an HTML page if the site's MAX_CONTENT_LENGTH is below our limit. Raises
    `BrokenBodyError`.
    """
    asked = current_request()
    declared = asked.content_length
    if declared is not None and declared > limit:
        return None
    # The site may have read the stream already: Flask-Security looks for a token in every JSON body.
    read: bytes | None = getattr(asked, "_cached_data", None)
    if read is not None:
        return read if len(read) <= limit else None
    stream = get_input_stream(asked.environ)
    body = bytearray()
    try:
        while len(body) <= limit and (piece := stream.read(limit + 1 - len(body))):
            body += piece
    except Exception as error:  # each server raises its own for a disconnect or malformed data
        raise BrokenBodyError from error
    return bytes(body) if len(body) <= limit else None


def make_response(reply: ApiResponse, here: AppState) -> Response:
    """Return the Flask response of a reply."""
    headers = reply.all_headers
    response = current_app.response_class(reply.content, status=reply.status, headers=headers)
    if "Content-Type" not in headers:
        del response.headers["Content-Type"]
    keep(response, reply.cookie, here)
    remember(response, reply.device_cookie, here)
    return response


def keep(response: Response, cookie: str | None, here: AppState) -> None:
    """Set our cookie to its new value; an empty value deletes it, None leaves it unchanged."""
    if cookie is not None:
        _set_cookie(response, here, COOKIE, cookie)


def remember(response: Response, device_cookie: str | None, here: AppState) -> None:
    """Set the trusted-device cookie; None leaves it unchanged."""
    if device_cookie is not None:
        _set_cookie(response, here, DEVICE_COOKIE, device_cookie)


def _peer(environ: Mapping[str, Any]) -> str | None:
    """Return the address of the connection.

    Werkzeug's ProxyFix replaces it by an entry of X-Forwarded-For unless its `x_for` is 0. Networks that are trusted to
    send such a header must be compared with the connection itself.
    """
    found = environ
    if current_state().site.proxies.are_named:
        found = environ.get("werkzeug.proxy_fix.orig") or environ
    address: str | None = found.get("REMOTE_ADDR")
    return address


def _set_cookie(response: Response, here: AppState, cookie: str, value: str) -> None:
    https, same_site = request.is_secure, current_app.config["SESSION_COOKIE_SAMESITE"]
    arguments = cookie_arguments(here.site, cookie, value, https=https, same_site=same_site)
    response.set_cookie(**arguments)


def drop_pairs(response: Response, here: AppState) -> None:
    """Delete the verifications in our cookie unless this response sets them."""
    name = cookie_name(COOKIE, https=request.is_secure)
    if request.cookies.get(name) and not any(
        header.startswith(f"{name}=") for header in response.headers.getlist("Set-Cookie")
    ):
        keep(response, "", here)


def _language() -> str | None:
    """Return the tag of Flask-Babel's language, or None without that extension."""
    if "babel" not in current_app.extensions:
        return None
    from flask_babel import get_locale

    locale = get_locale()
    return str(locale) if locale is not None else None
