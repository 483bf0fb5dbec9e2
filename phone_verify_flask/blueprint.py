"""The pages and the API under the mount.

Two blueprints at one prefix: the pages are always under Flask-WTF's CSRF token, the API never is (it asks browsers
where a request comes from, and clients without cookies for the verification's secret).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from urllib.parse import urlsplit

import flask_login
from flask import Blueprint, Flask, Response, abort, current_app, redirect, render_template, request, session, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf, validate_csrf
from markupsafe import Markup
from werkzeug.exceptions import InternalServerError, ServiceUnavailable
from werkzeug.routing import BaseConverter

from phone_verify.api import (
    ApiRequest,
    ApiResponse,
    AskSite,
    SessionUser,
    SetPhone,
    SignIn,
    SignOut,
    body_limit,
    device_cookie,
    handle,
    invalid_proof,
    needs_user,
    phone_conflict,
    phone_updated,
    refused,
    signed_in,
    signed_out,
)
from phone_verify.errors import StoreError
from phone_verify.http.cookies import only_pair
from phone_verify.http.page_headers import page_headers
from phone_verify.http.problems import invalid, problem, unavailable
from phone_verify.model import Redeemed
from phone_verify.web import flow as flow
from phone_verify.web.assets import asset
from phone_verify.web.forms import FORM_LIMIT, refused_form

from . import sessions
from .calls import BrokenBodyError, keep, make_response, read_body, read_call, remember
from .login import set_phone, sign_in, sign_out
from .recent import described, note_check, note_sign_in, notes
from .rights import StaffPhoneError
from .state import AppState, current_state

log = logging.getLogger("phone_verify")

pages = Blueprint("phone_verify", __name__, template_folder="templates")
api = Blueprint("phone_verify_api", __name__)

_TEMPLATES: dict[type, str] = {flow.LoginPage: "login", flow.CodePage: "code", flow.VerifyPage: "verify"}
_STYLE, _SCRIPT = "phone_verify.css", "phone_verify.js"
_SIGN_IN_PATH, _PHONE_PATH = "v1/session", "v1/session/phone"


def register(app: Flask, prefix: str, subdomain: str | None) -> None:
    """Mount pages and API on the application."""
    for part in (pages, api):
        app.register_blueprint(part, url_prefix=prefix or None, subdomain=subdomain)


# The API


class _Rest(BaseConverter):
    """Whatever follows, slashes among it, also nothing: below our paths every refusal is ours to tell."""

    regex = r"[\s\S]*"
    part_isolating = False
    weight = 1000


@api.record
def _add_rule(state: BlueprintSetupState) -> None:
    # Not by `add_url_rule`, which names methods: then Flask would answer others by a page, and OPTIONS by itself.
    endpoint, rules = f"{api.name}.answer", state.app.url_map
    rules.converters["phone_verify_rest"] = _Rest
    bare = f"{state.url_prefix or ''}/<any(v1, webhooks):part>"
    for path in (bare, f"{bare}/<phone_verify_rest:rest>"):
        rules.add(state.app.url_rule_class(path, endpoint=endpoint, subdomain=state.subdomain, merge_slashes=False))
    state.app.view_functions[endpoint] = _answer


def _answer(part: str, rest: str | None = None) -> Response:
    here, path = current_state(), part if rest is None else f"{part}/{rest}"
    try:
        body = read_body(body_limit(path))
    except BrokenBodyError:
        return make_response(invalid("The body ended early."), here)
    if path == _SIGN_IN_PATH and request.method == "POST":
        here.accounts.require()  # before the proof is burnt
    call = read_call(path, body=body)
    if needs_user(path, call.method, has_session=bool(session)):
        call = described(call)
        if call.user is not None and path == _PHONE_PATH:
            here.accounts.require_set_phone()
    answer = handle(here.site, call)
    while isinstance(answer, AskSite):  # once: the second answer no longer asks
        answer = handle(here.site, replace(call, without_old=here.accounts.lost_number(answer.redeemed)))
    if isinstance(answer, SignIn):
        entered = _signed_in(here, answer.redeemed)
        if entered is None:
            answer = refused(call)
        else:
            answer = signed_in(here.site, call, answer.redeemed, entered[0], created=entered[1])
    elif isinstance(answer, SetPhone):
        answer = _phone_set(here, call, answer.redeemed)
    elif isinstance(answer, SignOut):
        sign_out()
        answer = signed_out(call)
    if isinstance(answer, ApiResponse):
        notes().keep_started(answer.started)
    return make_response(answer, here)


def _signed_in(here: AppState, redeemed: Redeemed, *, remember: bool = False) -> tuple[SessionUser, bool] | None:
    entered = sign_in(here.site, here.accounts, redeemed, remember=remember)
    if entered is not None:
        note_sign_in(redeemed.phone, redeemed.verification_id)
    return entered


def _phone_set(here: AppState, call: ApiRequest, redeemed: Redeemed) -> ApiResponse:
    try:
        user = set_phone(here.site, here.accounts, redeemed, call.texts)
    except StaffPhoneError:
        return invalid_proof()
    if user is None:
        return phone_conflict()
    note_check(redeemed.phone)
    return phone_updated(user)


@api.url_value_preprocessor
def _exempt(endpoint: str | None, values: dict[str, object] | None) -> None:
    # These run before any `before_request` function, so it does not matter which extension came first.
    protection = current_app.extensions.get("csrf")
    if isinstance(protection, CSRFProtect):
        protection.exempt(api)


@api.errorhandler(ServiceUnavailable)
@api.errorhandler(StoreError)
def _down(error: Exception) -> Response:
    if isinstance(error, StoreError):
        log.error("the store did not answer: %s", error)
    return make_response(unavailable(), current_state())


@api.errorhandler(InternalServerError)
def _failed(error: InternalServerError) -> Response:
    # Flask has logged what the site's own functions raised.
    return make_response(problem(500, "internal_error", "Something went wrong on our side."), current_state())


# The pages


@pages.before_request
def _check_token() -> None:
    if request.method == "POST":
        try:
            validate_csrf(request.form.get(_token_name()))
        except ValueError as error:
            raise CSRFError(str(error)) from None


class _RefusedFormError(Exception):
    """The posted form is not read; `page` says why."""

    def __init__(self, page: flow.Page) -> None:
        super().__init__(page.status)
        self.page = page


@pages.url_value_preprocessor
def _limit_form(endpoint: str | None, values: dict[str, object] | None) -> None:
    """Read the form, up to its limit, before anything parses it: Flask writes the parts of large forms to disk.

    This runs before every `before_request` function; Flask-WTF's parses the form.
    """
    try:
        body = read_body(FORM_LIMIT)
    except BrokenBodyError:
        abort(400)
    if (page := refused_form(read_call(""), too_long=body is None)) is not None:
        raise _RefusedFormError(page)
    request.environ["wsgi.input"] = BytesIO(body or b"")
    request.environ["wsgi.input_terminated"] = True


@pages.errorhandler(StoreError)
def _store_down(error: StoreError) -> ResponseReturnValue:
    log.error("the store did not answer: %s", error)
    return current_app.handle_http_exception(ServiceUnavailable(retry_after=sessions.RETRY_SECONDS))


@pages.errorhandler(_RefusedFormError)
def _refused_form(error: _RefusedFormError) -> Response:
    response = _rendered("refused", error.page, current_state())
    response.status_code = error.page.status
    return response


@pages.after_request
def _set_headers(response: Response) -> Response:
    here = current_state()
    for name, value in page_headers(here.site, _other_origins(here)).items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _other_origins(here: AppState) -> Iterator[str]:
    """Return the origins that our forms may lead to: the rest of the site, and its own sign-in page."""
    for address in (here.home, getattr(getattr(current_app, "login_manager", None), "login_view", None)):
        if isinstance(address, str) and address.startswith(("http://", "https://")):
            parts = urlsplit(address)
            yield f"{parts.scheme}://{parts.netloc}"


@pages.route("/login/", methods=["GET", "POST"])
def login() -> Response:
    """Where the number is typed."""
    here = current_state()
    here.accounts.require()
    call = described(read_call("login/"))
    if request.method == "POST":
        return _shown(flow.submit_login(here.site, call, _form(here)), here)
    return _shown(flow.show_login(here.site, call, _next(here)), here)


@pages.route("/code/", methods=["GET", "POST"])
def code() -> Response:
    """Where the code is typed, or the number to call is shown."""
    here = current_state()
    here.accounts.require()
    next = _next(here)
    # Without that function the page gives nobody a number, and burns no proof for it.
    call = described(read_call("code/"), user=here.accounts.set_phone is not None)
    if request.method == "POST":
        shown = flow.submit_code(here.site, call, _form(here))
    else:
        shown = flow.show_code(here.site, call, next)
    while isinstance(shown, AskSite):  # once, as above
        if not here.accounts.lost_number(shown.redeemed):
            return _shown(flow.refused_phone(here.site, call, next), here)
        shown = flow.submit_code(here.site, replace(call, without_old=True), {"called": "1", "next": next})
    if isinstance(shown, SetPhone):
        return _number_given(here, call, shown.redeemed, next)
    if not isinstance(shown, SignIn):
        return _shown(shown, here)
    if _signed_in(here, shown.redeemed, remember=bool(shown.remember)) is None:
        return _shown(flow.refused_login(here.site, call, next), here)
    response = _redirect(next or _root(here))
    keep(response, only_pair(call.cookie, shown.redeemed.verification_id), here)
    remember(response, device_cookie(here.site, call, shown.redeemed), here)
    return response


@pages.route("/verify/", methods=["GET", "POST"])
def verify() -> Response:
    """Where somebody who is signed in confirms the own number, or types another one."""
    here = current_state()
    here.accounts.require()
    here.accounts.require_set_phone()
    call = described(read_call("verify/"))
    if request.method == "POST":
        answer = flow.submit_verify(here.site, call, _form(here))
        if isinstance(answer, flow.SignOutOthers):
            sessions.end_others(flask_login.current_user)
            answer = flow.signed_out_others(here.site, call, _next(here))
        return _shown(answer, here)
    return _shown(flow.show_verify(here.site, call, _next(here)), here)


def _number_given(here: AppState, call: ApiRequest, redeemed: Redeemed, next: str) -> Response:
    try:
        given = set_phone(here.site, here.accounts, redeemed, call.texts)
    except StaffPhoneError:
        return _shown(flow.refused_phone(here.site, call, next), here)
    if given is None:
        return _shown(flow.taken_phone(here.site, call, next), here)
    note_check(redeemed.phone)
    return _redirect(next or url_for(f"{pages.name}.verify"))


@pages.route("/logout/", methods=["GET", "POST"])
def logout() -> Response:
    """Where signing out is confirmed: a link alone, which any site may show, signs nobody out."""
    here = current_state()
    if request.method == "POST":
        sign_out()
        return _redirect(_next(here) or _root(here))
    return _rendered("logout", flow.show_logout(read_call("logout/"), _next(here)), here)


@pages.route("/static/<name>")
def static(name: str) -> Response:
    """Our style sheet and script."""
    found = asset(name)
    if found is None:
        abort(404)
    response = current_app.response_class(found[0], content_type=found[1])
    response.headers["Cache-Control"] = "public, max-age=3600"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.add_etag()
    response.make_conditional(request)
    return response


def _shown(page: flow.LoginPage | flow.CodePage | flow.Redirect, here: AppState) -> Response:
    if isinstance(page, flow.Redirect):
        response = _redirect(page.address(_urls()))
    else:
        response = _rendered(_TEMPLATES[type(page)], page, here)
        response.status_code = page.status
        response.headers.update(page.headers)
    notes().keep_started(page.started)
    keep(response, page.cookie, here)
    return response


def _rendered(name: str, page: flow.Page, here: AppState) -> Response:
    token = Markup('<input type="hidden" name="{}" value="{}">').format(_token_name(), generate_csrf())
    urls = {
        **_urls(),
        "style": url_for(f"{pages.name}.static", name=_STYLE),
        "script": url_for(f"{pages.name}.static", name=_SCRIPT),
        "mount": here.path,
    }
    context = {
        "page": page,
        "urls": urls,
        "csrf_field": token,
        "site_name": here.site.name,
        "lang": page.language.tag,
        "dir": page.language.direction,
    }
    return current_app.make_response(render_template(f"phone_verify/{name}.html", **context))


def _urls() -> dict[str, str]:
    """Where the pages are, and as `sign_in` the site's own page for signing in, if it has told Flask-Login of one."""
    urls = {to: url_for(f"{pages.name}.{to}") for to in ("login", "code", "verify", "logout")}
    view = getattr(getattr(current_app, "login_manager", None), "login_view", None)
    if view and "?" not in (own := flask_login.login_url(view)):
        urls["sign_in"] = own
    return urls


def _redirect(to: str) -> Response:
    return current_app.make_response(redirect(to))


def _form(here: AppState) -> dict[str, str]:
    return {**request.form.to_dict(), "next": _next(here)}


def _next(here: AppState) -> str:
    target = request.form.get("next") or request.args.get("next") or ""
    return here.safe_next(target)


def _root(here: AppState) -> str:
    return f"{here.home or ''}{request.script_root}/"


def _token_name() -> str:
    name: str = current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token")
    return name
