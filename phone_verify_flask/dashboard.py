"""The pages of staff as a blueprint: services, access keys, accounts, deliveries of webhooks, tests and reports."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from importlib.resources import files
from io import BytesIO
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    get_flashed_messages,
    redirect,
    request,
    session,
    url_for,
)
from flask_login import current_user
from flask_wtf.csrf import CSRFError, generate_csrf, validate_csrf
from markupsafe import Markup
from werkzeug.exceptions import RequestEntityTooLarge

from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.http.client_address import call_address
from phone_verify.http.page_headers import page_headers
from phone_verify.reports.base import Aggregates
from phone_verify.reports.reading import zones
from phone_verify.staff.call import File, Page, Redirect, RefusedError, Right, StaffCall
from phone_verify.staff.pages import METHODS, answer
from phone_verify.staff.rendering import message_of, render, staff_texts

from .calls import BrokenBodyError, read_body, read_call
from .state import current_state

log = logging.getLogger("phone_verify")

#: Most bytes of a form: the documents of a service are its longest fields.
_FORM_LIMIT = 256 * 1024
_STYLE = "staff.css"
_AGGREGATES = "phone_verify_aggregates"
#: Decides whether the current user has a right.
MayUse = Callable[[Right], object]


def nobody(_: Right) -> bool:
    """Return False: without your function, the pages answer 403 to everyone."""
    return False


@dataclass(frozen=True, slots=True)
class _Dashboard:
    may: MayUse
    name: str
    time_zone: Callable[[], str]
    home: Callable[[], str]


def dashboard(
    may: MayUse = nobody,
    *,
    name: str = "phone_verify_staff",
    time_zone: Callable[[], str] = lambda: "UTC",
    home: Callable[[], str] = lambda: "",
) -> Blueprint:
    """Return the blueprint of the pages of staff; register it with a `url_prefix`.

    `may` receives a `Right` and returns whether the current user has it. It is called for each request, and
    may raise what `flask.abort` raises, or redirect to a sign-in. `time_zone` returns the name of the current
    user's time zone, like `Europe/Berlin`, in which all times are shown; an unknown one is UTC. `home` returns
    the address of a link back to the site. Every form requires Flask-WTF's token.
    """
    here = _Dashboard(may, name, time_zone, home)
    pages = Blueprint(name, __name__, static_folder=str(files("phone_verify.staff").joinpath("static")))

    @pages.url_value_preprocessor
    def limit_form(_endpoint: str | None, _values: dict[str, object] | None) -> None:
        # Before a `before_request` of Flask-WTF parses the form.
        if request.method != "POST":
            return
        try:
            body = read_body(_FORM_LIMIT)
        except BrokenBodyError:
            body = None
        if body is None:
            raise RequestEntityTooLarge
        request.environ["wsgi.input"] = BytesIO(body)
        request.environ["wsgi.input_terminated"] = True

    @pages.before_request
    def check_token() -> None:
        if request.method == "POST" and not _is_off_for_tests():
            try:
                validate_csrf(request.form.get(_token_name()))
            except ValueError as error:
                raise CSRFError(str(error)) from None

    @pages.errorhandler(CSRFError)
    def stale_form(_: CSRFError) -> Response:
        call = _call("", here)
        return _page(call, _refusal("stale", call, 403), here)

    @pages.after_request
    def set_headers(response: Response) -> Response:
        for header, value in page_headers(current_state().site).items():
            response.headers.setdefault(header, value)
        if request.endpoint != f"{name}.static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    @pages.route("/", defaults={"path": ""}, methods=METHODS)
    @pages.route("/<path:path>", methods=METHODS)
    def page(path: str) -> Response:
        return _answered(_call(path, here), here)

    return pages


def _answered(call: StaffCall, here: _Dashboard) -> Response:
    site = current_state().site
    try:
        answered = answer(site, call)
        if isinstance(answered, Redirect):
            if text := message_of(call.language, answered):
                flash(text, "error" if answered.is_error else "message")
            return current_app.make_response(redirect(_address(here, answered.path, answered.query), 303))
        if isinstance(answered, File):
            return current_app.response_class(answered.chunks, headers=dict(answered.headers))
        return _page(call, answered, here)
    except RefusedError as refusal:
        return _page(call, _refusal(f"refused_{refusal.status}", call, refusal.status), here)
    except StoreError as error:
        log.error("a page of staff could not be shown: %s", error)
        return _page(call, _refusal("unavailable", call, 503), here)


def _call(path: str, here: _Dashboard) -> StaffCall:
    site, given = current_state().site, read_call("")
    author = current_user.get_id() if current_user and current_user.is_authenticated else None
    author = "" if author is None else f"user {author}"

    def note(what: str, about: str) -> None:
        log.info("staff: %s: %s (by %s)", about, what, author or "an unknown user")

    return StaffCall(
        method=request.method,
        path=path,
        may=lambda right: bool(here.may(right)),
        query=request.args.to_dict(),
        form=request.form.to_dict() if request.method == "POST" else {},
        language=given.texts.language,
        author=author,
        session=session,
        address=call_address(site, given),
        zone=_zone(here.time_zone()),
        note=note,
        aggregates=_aggregates,
    )


def _zone(name: str) -> tzinfo:
    return ZoneInfo(name) if name in zones() else UTC


def _aggregates() -> Aggregates:
    """Return the aggregates of this application, opened once. Raises `ConfigurationError`."""
    opened: Aggregates | None = current_app.extensions.get(_AGGREGATES)
    if opened is None:
        opened = current_app.extensions[_AGGREGATES] = current_state().given.aggregates()
    return opened


def _page(call: StaffCall, page: Page, here: _Dashboard) -> Response:
    token = Markup('<input type="hidden" name="{}" value="{}">').format(_token_name(), generate_csrf())
    try:
        text = render(
            current_state().site,
            call,
            page,
            frame="page.html",
            address=lambda path, query: _address(here, path, query),
            csrf_field=token,
            home=here.home(),
            style=url_for(f"{here.name}.static", filename=_STYLE),
            messages=get_flashed_messages(with_categories=True),
        )
    except ConfigurationError as error:
        return current_app.response_class(f"{error}\n", status=503, content_type="text/plain; charset=utf-8")
    return current_app.response_class(text, status=page.status, headers=dict(page.headers))


def _refusal(text: str, call: StaffCall, status: int) -> Page:
    return Page("refused.html", "refused", "", {"problem": staff_texts(call.language)[text]}, status)


def _address(here: _Dashboard, path: str, query: Mapping[str, str]) -> str:
    found = url_for(f"{here.name}.page", path=path or None)
    return f"{found}?{urlencode(query)}" if query else found


def _token_name() -> str:
    return str(current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token"))


def _is_off_for_tests() -> bool:
    return current_app.testing and not current_app.config.get("WTF_CSRF_ENABLED", True)
