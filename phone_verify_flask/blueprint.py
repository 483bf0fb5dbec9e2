"""The pages under the mount, which always require Flask-WTF's CSRF token, and the mounting of pages and API."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from typing import cast
from urllib.parse import urlsplit

import flask_login
from flask import Blueprint, Flask, Response, current_app, redirect, render_template, request, session, url_for
from flask_wtf.csrf import CSRFError, generate_csrf, validate_csrf
from markupsafe import Markup
from werkzeug.exceptions import MethodNotAllowed, RequestEntityTooLarge, ServiceUnavailable

from phone_verify.api import (
    ApiRequest,
    AskSite,
    SessionUser,
    SetPhone,
    SignIn,
    device_cookie,
)
from phone_verify.errors import StoreError
from phone_verify.http.cookies import only_pair
from phone_verify.http.page_headers import page_headers
from phone_verify.model import Redeemed
from phone_verify.web import flow
from phone_verify.web.assets import BRAND_STYLE, CLIENT, asset_headers, site_asset
from phone_verify.web.forms import FORM_LIMIT, form_too_large, incomplete_form, not_found, refused_form, wrong_method
from phone_verify.web.messages import PageName

from . import sessions
from .api_blueprint import api
from .calls import BrokenBodyError, keep, read_body, read_call, remember
from .last_number import numbers_of
from .login import sign_out
from .recent import messages, notes, with_session_data
from .replies import Replies, complete
from .state import AppState, current_state

log = logging.getLogger("phone_verify")

pages = Blueprint("phone_verify", __name__, template_folder="templates")

_TEMPLATES: dict[type, str] = {
    flow.LoginPage: "login",
    flow.CodePage: "code",
    flow.VerifyPage: "verify",
    flow.LogoutPage: "logout",
}
_SAFE_METHODS = ["GET", "HEAD", "OPTIONS"]
#: The pages answer the methods that they do not have, too: Flask's own 405 has no page.
_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_STYLE, _SCRIPT = "phone_verify.css", "phone_verify.js"


def register(app: Flask, prefix: str, subdomain: str | None) -> None:
    """Mount pages and API on the application."""
    for part in (pages, api):
        app.register_blueprint(part, url_prefix=prefix or None, subdomain=subdomain)


# The pages


@pages.before_request
def _check_token() -> None:
    if request.method == "POST" and not _is_off_for_tests():
        try:
            validate_csrf(request.form.get(_token_name()))
        except ValueError as error:
            raise CSRFError(str(error)) from None


def _is_off_for_tests() -> bool:
    # Flask-WTF's switch, obeyed in tests only: a production site's pages must not lose their protection by it.
    return current_app.testing and not current_app.config.get("WTF_CSRF_ENABLED", True)


class _RefusedFormError(Exception):
    """The posted form is refused unread; `page` holds the reason."""

    def __init__(self, page: flow.Page) -> None:
        super().__init__(page.status)
        self.page = page


def _allowed_methods() -> list[str]:
    return _SAFE_METHODS if request.endpoint == f"{pages.name}.static" else [*_SAFE_METHODS, "POST"]


@pages.url_value_preprocessor
def _limit_form(endpoint: str | None, values: dict[str, object] | None) -> None:
    """Read the form, up to its limit, before it is parsed: Flask writes the parts of large forms to disk.

    This runs before every `before_request` function, because that of Flask-WTF parses the form.
    """
    if request.method not in _allowed_methods():
        raise MethodNotAllowed(_allowed_methods())
    try:
        body = read_body(FORM_LIMIT)
    except BrokenBodyError:
        raise _RefusedFormError(incomplete_form(read_call(""))) from None
    if (page := refused_form(read_call(""), too_long=body is None)) is not None:
        raise _RefusedFormError(page)
    request.environ["wsgi.input"] = BytesIO(body or b"")
    request.environ["wsgi.input_terminated"] = True


@pages.errorhandler(StoreError)
@pages.errorhandler(ServiceUnavailable)
def _store_down(error: StoreError | ServiceUnavailable) -> Response:
    if isinstance(error, StoreError):
        log.error("the store did not answer: %s", error)
    here, texts = current_state(), read_call("").texts
    if request.method == "POST":
        message = flow.Message(_page_name(), flow.id_of(request.form.to_dict()), error=texts.page["unavailable"])
        return _respond(flow.Redirect(message.page, _next(here), id=message.id, message=message), here)
    page = flow.Page(texts=texts, error=texts.page["unavailable"], status=503)
    response = _refusal(page, here)
    response.headers["Retry-After"] = str(sessions.RETRY_SECONDS)
    return response


@pages.errorhandler(CSRFError)
def _stale_form(error: CSRFError) -> Response:
    """Answer a form whose token is missing or not valid any more; also if the site's own check finds that."""
    texts = read_call("").texts
    page = flow.Page(texts=texts, error=texts.page["page_stale"], status=403)
    here = current_state()
    return _unprocessed(page, here, _form(here), has_token=_token_name() in request.form)


@pages.errorhandler(RequestEntityTooLarge)  # of the application's own limit, if that is lower than ours
@pages.errorhandler(_RefusedFormError)
def _refused_form(error: _RefusedFormError | RequestEntityTooLarge) -> Response:
    page = error.page if isinstance(error, _RefusedFormError) else form_too_large(read_call(""))
    return _unprocessed(page, current_state(), {}, has_token=False)


@pages.errorhandler(MethodNotAllowed)
def _wrong_method(error: MethodNotAllowed) -> Response:
    return _refusal(wrong_method(read_call("")), current_state())


def _unprocessed(page: flow.Page, here: AppState, form: Mapping[str, str], *, has_token: bool) -> Response:
    if flow.is_foreign_form(here.site, read_call(""), has_token=has_token):
        return _refusal(page, here)
    again = bool(form) and _signs_in_again(here)
    return _respond(flow.return_unprocessed(here.site, _call(), _page_name(), form, page.error, again=again), here)


def _refusal(page: flow.Page, here: AppState) -> Response:
    # A token would begin a session, and that would replace the visitor's if another site posted the form.
    response = _render("refused", page, here, page_has_form=False)
    response.status_code = page.status
    # The site's own base template can have a form too. A permanent session is sent even if it was not modified.
    if session and current_app.session_interface.get_cookie_name(current_app) not in request.cookies:
        session.clear()
    session.modified = False
    return response


def _call() -> ApiRequest:
    try:
        return with_session_data(read_call(""))
    except ServiceUnavailable:
        return with_session_data(read_call(""), user=False)  # the store was asked for the user


def _page_name() -> PageName:
    return cast("PageName", (request.endpoint or "").rpartition(".")[2])


@pages.after_request
def _set_headers(response: Response) -> Response:
    here = current_state()
    for name, value in page_headers(here.site, _other_origins(here)).items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.method == "OPTIONS" or response.status_code == 405:
        response.headers["Allow"] = ", ".join(_allowed_methods())
    return response


def _other_origins(here: AppState) -> Iterator[str]:
    """Return the origins to which our forms may redirect: the rest of the site, and its sign-in page."""
    for address in (here.home, getattr(getattr(current_app, "login_manager", None), "login_view", None)):
        if isinstance(address, str) and address.startswith(("http://", "https://")):
            parts = urlsplit(address)
            yield f"{parts.scheme}://{parts.netloc}"


@pages.route("/login/", methods=_ALL_METHODS)
def login() -> Response:
    """Page to enter the number."""
    here = current_state()
    here.accounts.require()
    call = with_session_data(read_call("login/"))
    if request.method == "POST":
        return _respond(flow.submit_login(here.site, call, _form(here), numbers_of=numbers_of), here)
    said, again = messages().take("login"), _signs_in_again(here)
    next = _next(here) or here.next_in_session()
    return _respond(flow.show_login(here.site, call, next, said, again=again, numbers_of=numbers_of), here)


def _signs_in_again(here: AppState) -> bool:
    """Return whether a signed-in user is here to sign in again.

    Our page `verify` sends users for this, and so does Flask-Login's `fresh_login_required` if its
    `refresh_view` is this page.
    """
    if _next(here).partition("?")[0] == _urls()["verify"]:
        return True
    refresh_view = getattr(getattr(current_app, "login_manager", None), "refresh_view", None)
    return refresh_view == f"{pages.name}.login" and not flask_login.login_fresh()


@pages.route("/code/", methods=_ALL_METHODS)
def code() -> Response:
    """Page to enter the code, or to call the displayed number."""
    here = current_state()
    here.accounts.require()
    next, call = _next(here), with_session_data(read_call("code/"))
    # Without that callback the page assigns no number and must not consume a proof.
    sets_phone = here.accounts.set_phone is not None
    if request.method != "POST":
        id = request.args.get("verification", "")
        page = flow.show_code(here.site, call, next, id, messages().take("code", id), sets_phone=sets_phone)
        return _respond(page, here)
    result = flow.submit_code(here.site, call, _form(here), sets_phone=sets_phone)
    while isinstance(result, AskSite):  # at most once, as in the API
        if not here.accounts.allows_change_without_old(result.redeemed):
            return _respond(flow.refused_phone(call, next), here)
        fields = {"called": "1", "next": next, "verification": result.redeemed.verification_id}
        result = flow.submit_code(here.site, replace(call, without_old=True), fields, sets_phone=sets_phone)
    if isinstance(result, SignIn):
        return complete(here, call, result, _page_replies(here, call, next), remember=result.remember)
    if isinstance(result, SetPhone):
        return complete(here, call, result, _page_replies(here, call, next))
    return _respond(result, here)


def _page_replies(here: AppState, call: ApiRequest, next: str) -> Replies[Response]:
    def signed_in_page(redeemed: Redeemed, user: SessionUser, created: bool, lasting: bool) -> Response:
        response = _redirect(next or _root(here))
        keep(response, only_pair(call.cookie, redeemed.verification_id), here)
        remember(response, device_cookie(here.site, call, redeemed, user.id if lasting else ""), here)
        return response

    return Replies(
        login_refused=lambda: _respond(flow.refused_login(call, next), here),
        session_created=signed_in_page,
        phone_refused=lambda: _respond(flow.refused_phone(call, next), here),
        phone_conflict=lambda: _respond(flow.taken_phone(call, next), here),
        phone_updated=lambda user: _redirect(next or url_for(f"{pages.name}.verify")),
    )


@pages.route("/verify/", methods=_ALL_METHODS)
def verify() -> Response:
    """Page where a signed-in user confirms the current number or enters another one."""
    here = current_state()
    here.accounts.require()
    call = with_session_data(read_call("verify/"))
    if call.user is not None:  # a stranger is sent to sign in, also on a site without that callback
        here.accounts.require_set_phone()
    if request.method != "POST":
        return _respond(flow.show_verify(here.site, call, _next(here), messages().take("verify")), here)
    result = flow.submit_verify(here.site, call, _form(here))
    if isinstance(result, flow.SignOutOthers):
        sessions.end_others(flask_login.current_user)
        result = flow.signed_out_others(call, _next(here))
    return _respond(result, here)


@pages.route("/logout/", methods=_ALL_METHODS)
def logout() -> Response:
    """Page that confirms signing out. A GET does not sign out: any site may show a link to it."""
    here, call = current_state(), read_call("logout/")
    if request.method != "POST":
        return _respond(flow.show_logout(call, _next(here), messages().take("logout")), here)
    sign_out()
    to = _next(here) or _root(here)
    if to.partition("?")[0] == _urls()["login"]:
        messages().keep(flow.signed_out(call))
    return _redirect(to)


@pages.route("/static/<path:name>", methods=_ALL_METHODS)
def static(name: str) -> Response:
    """Serve our style sheets, scripts and metadata of numbers."""
    site = current_state().site
    found = site_asset(name, site, request.args)
    if found is None:
        return _refusal(not_found(read_call("")), current_state())
    response = current_app.response_class(found[0], content_type=found[1])
    response.headers["Cache-Control"] = "public, max-age=3600"
    response.headers["X-Content-Type-Options"] = "nosniff"
    for header, value in asset_headers(site, name, request.headers.get("Origin")).items():
        if header == "Vary":
            response.vary.add(value)
        else:
            response.headers[header] = value
    response.add_etag()
    response.make_conditional(request)
    return response


def _respond(page: flow.Page | flow.Redirect, here: AppState) -> Response:
    if isinstance(page, flow.Redirect):
        response = _redirect(page.address({**_urls(), "onward": _root(here)}))
        if page.message is not None:
            messages().keep(page.message)
        remember(response, page.device_cookie, here)
        notes().keep_started(page.started, page.not_entered)
    else:
        response = _render(_TEMPLATES[type(page)], page, here)
        response.status_code = page.status
        response.headers.update(page.headers)
        notes().keep_started(page.started)
    keep(response, page.cookie, here)
    return response


def _render(name: str, page: flow.Page, here: AppState, *, page_has_form: bool = True) -> Response:
    urls = {
        **_urls(),
        "style": url_for(f"{pages.name}.static", name=_STYLE),
        "script": url_for(f"{pages.name}.static", name=_SCRIPT),
        "client": url_for(f"{pages.name}.static", name=CLIENT),
        "brand_style": url_for(f"{pages.name}.static", name=BRAND_STYLE),
        "api": here.path,
        "onward": _root(here),
    }
    context = {
        "page": page,
        "urls": urls,
        "csrf_field": _csrf_field() if page_has_form else "",
        "site_name": here.site.name,
        "brand": here.site.brand,
        "lang": page.language.tag,
        "dir": page.language.direction,
    }
    return current_app.make_response(render_template(f"phone_verify/{name}.html", **context))


def _csrf_field() -> Markup:
    return Markup('<input type="hidden" name="{}" value="{}">').format(_token_name(), generate_csrf())


def _urls() -> dict[str, str]:
    """Return the URLs of the pages, and as `sign_in` the `login_view` of Flask-Login if the site sets one."""
    urls = {to: url_for(f"{pages.name}.{to}") for to in ("login", "code", "verify", "logout")}
    view = getattr(getattr(current_app, "login_manager", None), "login_view", None)
    if view and "?" not in (login_url := flask_login.login_url(view)):
        urls["sign_in"] = login_url
    return urls


def _redirect(to: str) -> Response:
    """Redirect; after a form with 303, so that no browser sends it again."""
    return current_app.make_response(redirect(to, 303 if request.method == "POST" else 302))


def _form(here: AppState) -> dict[str, str]:
    fields = {name: value for name, value in request.form.to_dict().items() if name != _token_name()}
    return {**fields, "next": _next(here)}


def _next(here: AppState) -> str:
    target = request.form.get("next") or request.args.get("next") or ""
    return here.safe_next(target)


def _root(here: AppState) -> str:
    return f"{here.home or ''}{request.script_root}/"


def _token_name() -> str:
    name: str = current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token")
    return name
