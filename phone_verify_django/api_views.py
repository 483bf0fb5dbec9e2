"""The API views. `phone_verify.api` decides the replies; these views do what needs Django."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from phone_verify.api import (
    ApiRequest,
    ApiResponse,
    ApiStream,
    AskSite,
    IssueToken,
    SessionUser,
    Site,
    accepts_client,
    body_limit,
    client_refused,
    cors_headers,
    dispatch,
    for_program,
    invalid_proof,
    login_refused,
    mfa_required,
    needs_user,
    phone_conflict,
    phone_updated,
    session_created,
    signed_out,
    signup_required,
    token_issued,
)
from phone_verify.errors import StoreError
from phone_verify.http.bearer import checked_token, note_sign_in, presented_key
from phone_verify.http.problems import invalid, problem, unavailable
from phone_verify.model import Redeemed
from phone_verify.sync import run
from phone_verify.verifier.operations import AsyncVerifier

from . import (
    accounts,
    actions,
    app_settings,
    bearer,
    calls,
    oauth_clients,
    primary,
    sessions,
    site_requirements,
    streaming,
    users,
)
from .last_number import outlives_browser
from .site import site_of
from .store.transactions import name_of
from .view_rules import ViewFunction, outside_transactions

log = logging.getLogger("phone_verify")

T = TypeVar("T")


def _call(view: ViewFunction) -> ViewFunction:
    """Apply what holds for every API call. The API's own rule refuses forgery, so no token is needed."""
    decorated: Any = login_not_required(csrf_exempt(sensitive_post_parameters()(sensitive_variables()(view))))
    result: ViewFunction = outside_transactions(decorated)
    return result


@_call
def api(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve every call under `v1/` and `webhooks/`."""
    site = site_of(request)
    return _response(request, site, path, run(_reply(request, site, path, site.verifier.flows, _here)))


@_call
async def aapi(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve as `api` does, without blocking a thread during provider calls. `urls` selects one of the two."""
    site = site_of(request)
    reply = await _reply(request, site, path, site.async_verifier, _in_thread, can_stream=True)
    return _response(request, site, path, reply)


def _response(request: HttpRequest, site: Site, path: str, reply: ApiResponse | ApiStream) -> HttpResponseBase:
    response: HttpResponseBase
    if isinstance(reply, ApiStream):
        response = streaming.response(request, reply)
    else:
        response = calls.response(request, site, reply)
    for name, value in cors_headers(site, path, request.META.get("HTTP_ORIGIN")).items():
        if name == "Vary":
            patch_vary_headers(response, [value])
        else:
            response.headers[name] = value
    return response


@dataclass(frozen=True, slots=True)
class ApiReplies:
    """The API's replies to a performed action."""

    site: Site
    call: ApiRequest
    request: HttpRequest

    def session_created(self, account: accounts.Account, redeemed: Redeemed) -> ApiResponse:
        """Return 200 with the user."""
        lasting = outlives_browser(self.request)
        return session_created(self.site, self.call, redeemed, account.user, created=account.created, lasting=lasting)

    def signup_required(self) -> ApiResponse:
        """Return 403 `login_refused`, whose detail names the sign-up page."""
        return signup_required(self.call)

    def further_step(self, error: accounts.MfaRequiredError) -> ApiResponse:
        """Return 403 `mfa_required`, with the address of the step where it has one."""
        return mfa_required(self.call, error.response.headers["Location"] if error.response else None)

    def login_refused(self) -> ApiResponse:
        """Return 403 `login_refused`."""
        return login_refused(self.call)

    def phone_updated(self, user: SessionUser) -> ApiResponse:
        """Return 200 with the user."""
        return phone_updated(user)

    def phone_conflict(self) -> ApiResponse:
        """Return 409 `phone_taken`."""
        return phone_conflict()

    def phone_refused(self) -> ApiResponse:
        """Return the refusal `invalid_proof`."""
        return invalid_proof()

    def signed_out(self) -> ApiResponse:
        """Return 204."""
        return signed_out(self.call)


@dataclass(frozen=True, slots=True)
class TokenReplies(ApiReplies):
    """The API's replies, with a token in the place of a session. `make_token(user, redeemed)` makes it."""

    make_token: Callable[[Any, Redeemed], object]

    @primary.reads()
    def session_created(self, account: accounts.Account, redeemed: Redeemed) -> ApiResponse:
        """Return 200 with the user and the token."""
        user = users.load(account.user.id)
        if user is None:  # hidden since the sign-in
            return self.login_refused()
        token = checked_token(self.make_token(user, redeemed))
        note_sign_in(self.site.verifier, token, account.user.id, redeemed.phone)
        return token_issued(account.user, token, created=account.created)


class _Runs(Protocol):
    """Runs a function that queries the database of accounts and sessions."""

    async def __call__(self, function: Callable[..., T], *args: Any) -> T: ...


async def _here(function: Callable[..., T], *args: Any) -> T:
    return function(*args)


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    return await sync_to_async(function)(*args)


async def _reply(
    request: HttpRequest, site: Site, path: str, flows: AsyncVerifier, runs: _Runs, *, can_stream: bool = False
) -> ApiResponse | ApiStream:
    chosen = app_settings.account_settings()
    try:
        call = calls.read_call(
            request,
            path,
            body=calls.read_body(request, body_limit(path)),
            token=bearer.presented(request),
            issues_tokens=chosen.token is not None,
            can_stream=can_stream,
        )
        if presented_key(site, call.headers) is not None:
            # Neither the session nor the user of a token is looked up for another program.
            return await for_program(site, flows, call)
        by_token = call.token is not None
        client_of = oauth_clients.of(request) if accepts_client(path, call.method) else None
        if path == "v1/session" or (path == "v1/session/phone" and not by_token):
            site_requirements.require_session(request)  # before the proof is consumed
        wants_user = needs_user(
            path, call.method, identified=lambda: by_token or (client_of is None and sessions.is_sent(request))
        )
        # A user's token is not looked up for every call, unless it could be a client's.
        if wants_user or (by_token and client_of is not None):
            call = await runs(bearer.described if by_token else accounts.described, request, call)
        if client_of is not None and call.user is None:
            client = await runs(client_of, request)
            if client is None:
                return client_refused()
            call = replace(call, client=client)
    except ImproperlyConfigured as error:
        log.error("%s", error)
        return problem(500, "internal_error", "Something went wrong on our side.")
    except OSError:
        return invalid(calls.INCOMPLETE_BODY)
    except DatabaseError as error:
        return _database_down(error)
    except Exception:
        log.exception("the user of a request could not be determined")
        return problem(500, "internal_error", "Something went wrong on our side.")
    result = await dispatch(site, flows, call)
    try:
        if isinstance(result, AskSite):
            allowed = await runs(accounts.may_change_without_old, request, result.redeemed)
            result = await dispatch(site, flows, replace(call, without_old=allowed))
        if isinstance(result, ApiStream):
            return result
        if isinstance(result, ApiResponse):
            if result.started is not None:  # never without a session
                sessions.notes(request).keep_started(result.started)
            return result
        replies = ApiReplies(site, call, request)
        if isinstance(result, IssueToken):
            replies = TokenReplies(site, call, request, app_settings.load(chosen.token))
        return await runs(actions.perform, request, result, replies)
    except DatabaseError as error:
        return _database_down(error)
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        return unavailable()
    except Exception:
        log.exception("sign-in, sign-out or a token failed; its proof cannot be used again")
        return problem(500, "internal_error", "Something went wrong on our side.")


def _database_down(error: DatabaseError) -> ApiResponse:
    log.error("the database of accounts and sessions is unavailable: %s", name_of(error))
    return unavailable()
