"""The API and the webhooks under the mount.

They never require a CSRF token: the API checks the origin of requests from browsers, and the
verification's secret from clients without cookies.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from flask import Blueprint, Response, current_app, request, session
from flask.blueprints import BlueprintSetupState
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import InternalServerError, ServiceUnavailable

from phone_verify.api import (
    ApiRequest,
    ApiResponse,
    ApiStream,
    AskSite,
    IssueToken,
    SetPhone,
    SignIn,
    SignOut,
    accepts_client,
    body_limit,
    client_refused,
    cors_headers,
    for_program,
    handle,
    invalid_proof,
    login_refused,
    needs_user,
    phone_conflict,
    phone_updated,
    session_created,
    signed_out,
)
from phone_verify.errors import StoreError
from phone_verify.http.bearer import presented_key
from phone_verify.http.problems import invalid, problem, unavailable
from phone_verify.sync import run

from .api_paths import RestConverter
from .calls import STREAMS, BrokenBodyError, make_response, read_body, read_call
from .login import sign_out
from .oauth_clients import of_request
from .recent import notes, with_session_data
from .replies import Replies, complete
from .state import AppState, current_request, current_state
from .tokens import exchange, presented, with_token_user

log = logging.getLogger("phone_verify")

api = Blueprint("phone_verify_api", __name__)

_SIGN_IN_PATH, _PHONE_PATH, _TOKEN_PATH = "v1/session", "v1/session/phone", "v1/token"


@api.record
def _add_rule(state: BlueprintSetupState) -> None:
    # `add_url_rule` sets methods: Flask would then respond to others with a page, and to OPTIONS by itself.
    endpoint, rules = f"{api.name}.answer", state.app.url_map
    rules.converters["phone_verify_rest"] = RestConverter
    bare = f"{state.url_prefix or ''}/<any(v1, webhooks):part>"
    for path in (bare, f"{bare}/<phone_verify_rest:rest>"):
        rules.add(state.app.url_rule_class(path, endpoint=endpoint, subdomain=state.subdomain, merge_slashes=False))
    state.app.view_functions[endpoint] = _handle


def _handle(part: str, rest: str | None = None) -> Response:
    here, path = current_state(), part if rest is None else f"{part}/{rest}"
    try:
        body = read_body(body_limit(path))
    except BrokenBodyError:
        return make_response(invalid("The request body was incomplete."), here)
    issues_tokens, can_stream = here.accounts.token_for_user is not None, STREAMS in request.environ
    call = read_call(path, body=body, token=presented(), issues_tokens=issues_tokens, can_stream=can_stream)
    if presented_key(here.site, call.headers) is not None:
        # Neither the session nor the user of a token is looked up for another program.
        return _reply(here, run(for_program(here.site, here.site.verifier.flows, call)))
    if call.method == "POST" and (path == _SIGN_IN_PATH or (path == _TOKEN_PATH and issues_tokens)):
        here.accounts.require()  # before the proof is consumed
    by_token, client_of = call.token is not None, of_request() if accepts_client(path, call.method) else None
    wants_user = needs_user(path, call.method, identified=lambda: by_token or (client_of is None and bool(session)))
    # A user's token is not looked up for every call, unless it could be a client's.
    if wants_user or (by_token and client_of is not None):
        call = with_token_user(call) if by_token else with_session_data(call)
        if call.user is not None and path == _PHONE_PATH:
            here.accounts.require_set_phone()
    if client_of is not None and call.user is None:
        client = client_of()
        if client is None:
            return make_response(client_refused(), here)
        call = replace(call, client=client)
    result = handle(here.site, call)
    while isinstance(result, AskSite):  # at most once: `without_old` is then set
        allowed = here.accounts.allows_change_without_old(result.redeemed)
        result = handle(here.site, replace(call, without_old=allowed))
    if isinstance(result, SignOut):
        sign_out()
        result = signed_out(call)
    elif isinstance(result, IssueToken):
        result = exchange(here, call, result)
    elif isinstance(result, SignIn | SetPhone):
        result = complete(here, call, result, _api_replies(here, call))
    if isinstance(result, ApiResponse):
        notes().keep_started(result.started)
    return _reply(here, result)


def _reply(here: AppState, result: ApiResponse | ApiStream) -> Response:
    if isinstance(result, ApiStream):
        request.environ[STREAMS].append(result)
        # Not compressed by the site's extensions and middleware: they would keep events in a buffer.
        request.environ["HTTP_ACCEPT_ENCODING"] = "identity"
        return make_response(ApiResponse(200, headers=result.headers), here)
    return make_response(result, here)


@api.after_request
def _set_cors(response: Response) -> Response:
    """Add what a browser needs, also to what the site's own functions answer in place of the API."""
    asked = current_request()
    found = asked.view_args or {}
    path = "/".join(part for name in ("part", "rest") if (part := found.get(name)) is not None)
    for name, value in cors_headers(current_state().site, path, asked.environ.get("HTTP_ORIGIN")).items():
        if name == "Vary" and name in response.headers:  # few have one by now, and werkzeug parses it
            response.vary.add(value)
        else:
            response.headers[name] = value
    return response


def _api_replies(here: AppState, call: ApiRequest) -> Replies[ApiResponse]:
    return Replies(
        login_refused=lambda: login_refused(call),
        session_created=lambda redeemed, user, created, lasting: session_created(
            here.site, call, redeemed, user, created=created, lasting=lasting
        ),
        phone_refused=invalid_proof,
        phone_conflict=phone_conflict,
        phone_updated=phone_updated,
    )


@api.url_value_preprocessor
def _exempt(endpoint: str | None, values: dict[str, object] | None) -> None:
    # Preprocessors run before any `before_request` function, so the order of the extensions does not matter.
    protection = current_app.extensions.get("csrf")
    if isinstance(protection, CSRFProtect):
        protection.exempt(api)


@api.errorhandler(ServiceUnavailable)
@api.errorhandler(StoreError)
def _api_unavailable(error: Exception) -> Response:
    if isinstance(error, StoreError):
        log.error("the store did not answer: %s", error)
    return make_response(unavailable(), current_state())


@api.errorhandler(InternalServerError)
def _api_error(error: InternalServerError) -> Response:
    # Flask has already logged the exception of the site's callback.
    return make_response(problem(500, "internal_error", "Something went wrong on our side."), current_state())
