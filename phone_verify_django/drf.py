"""Django REST framework: a view that exchanges a proof for the site's token, and the users of such tokens.

path("api/token/phone/", ExchangeView.as_view(token_for_user="shop.tokens.pair"))
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import classonlymethod
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from phone_verify.api import ApiResponse, IssueToken, body_limit, dispatch, invalid_proof
from phone_verify.errors import missing_extra
from phone_verify.http.problems import invalid, unavailable
from phone_verify.model import Redeemed
from phone_verify.sync import run

from . import accounts, actions, calls, users
from .api_views import TokenReplies
from .site import current_site, site_of
from .store.transactions import name_of
from .view_rules import outside_transactions

try:
    from rest_framework.authentication import (  # type: ignore[import-untyped]
        BasicAuthentication,
        RemoteUserAuthentication,
        SessionAuthentication,
    )
    from rest_framework.exceptions import APIException  # type: ignore[import-untyped]
    from rest_framework.permissions import AllowAny  # type: ignore[import-untyped]
    from rest_framework.request import Request  # type: ignore[import-untyped]
    from rest_framework.settings import api_settings  # type: ignore[import-untyped]
    from rest_framework.views import APIView  # type: ignore[import-untyped]
except ImportError as error:
    raise missing_extra("phone_verify_django.drf", "drf", error) from error

log = logging.getLogger("phone_verify")

_PATH = "v1/token"
_NOT_BY_TOKEN = (BasicAuthentication, RemoteUserAuthentication, SessionAuthentication)


class ExchangeView(APIView):  # type: ignore[misc]
    """Accept a proof as `POST v1/token` does, and reply with the fields of the site's token; no session is opened.

    `token_for_user` is a function, or its dotted path. It is called with the user and the request
    and returns the fields of the reply in addition to `user` and `created`. Refusals and their
    bodies are those of `POST v1/token`. The view requires no login and has no throttle, since our
    limits already apply to the steps that lead to a proof.
    """

    token_for_user: str | Callable[[Any, HttpRequest], Mapping[str, Any]] | None = None

    authentication_classes: ClassVar[Sequence[Any]] = ()
    permission_classes: ClassVar[Sequence[Any]] = (AllowAny,)
    throttle_classes: ClassVar[Sequence[Any]] = ()

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Any:  # noqa: N805 - Django's kind of classmethod
        """Return the view function. Raises `ImproperlyConfigured` without a `token_for_user`."""
        named = initkwargs.get("token_for_user", cls.token_for_user)
        if isinstance(named, str):
            try:
                named = import_string(named)
            except ImportError as error:
                raise ImproperlyConfigured(f"token_for_user: {error}") from None
        if not callable(named):
            raise ImproperlyConfigured(
                "token_for_user: set the function that creates a token for a user, like "
                "ExchangeView.as_view(token_for_user='shop.tokens.pair')"
            )
        return outside_transactions(super().as_view(**{**initkwargs, "token_for_user": staticmethod(named)}))

    @sensitive_variables()
    def post(self, request: Request) -> HttpResponse:
        """Redeem the proof and create the token."""
        http: HttpRequest = request._request  # the core reads the body: up to its limit, by its rules
        site = site_of(http)
        try:
            call = calls.read_call(http, _PATH, body=calls.read_body(http, body_limit(_PATH)), issues_tokens=True)
        except OSError:
            return self._response(http, invalid(calls.INCOMPLETE_BODY))
        result = run(dispatch(site, site.verifier.flows, call))
        if not isinstance(result, IssueToken):
            return self._response(http, result if isinstance(result, ApiResponse) else invalid_proof())
        make: Any = self.token_for_user
        replies = _Replies(site, call, http, lambda user, _: make(user, http))
        try:
            return self._response(http, actions.perform(http, result, replies))
        except DatabaseError as error:
            log.error("the database of accounts is unavailable: %s", name_of(error))
            return self._response(http, unavailable())

    def _response(self, request: HttpRequest, reply: ApiResponse) -> HttpResponse:
        return calls.response(request, current_site(), reply)


@dataclass(frozen=True, slots=True)
class _Replies(TokenReplies):
    """The API's replies, with the fields of the token next to the user's."""

    def session_created(self, account: accounts.Account, redeemed: Redeemed) -> ApiResponse:
        # Not `super()`, which does not work in a dataclass with slots.
        reply = TokenReplies.session_created(self, account, redeemed)
        document = dict(reply.document or {})
        fields = document.pop("token", {})
        return replace(reply, document={**fields, **document} if isinstance(fields, dict) else reply.document)


def user_for_token(request: HttpRequest, token: str) -> object | None:
    """Return the user whom one of the `DEFAULT_AUTHENTICATION_CLASSES` finds by the header `Authorization`.

    For `PHONE_VERIFY["user_for_token"]`. Classes for sessions, passwords and proxies are left out. A token
    whose class finds a record of another model, like a device, is refused.
    """
    wrapped = Request(request)
    for each in api_settings.DEFAULT_AUTHENTICATION_CLASSES:
        if issubclass(each, _NOT_BY_TOKEN):
            continue
        try:
            found = each().authenticate(wrapped)
        except APIException:
            return None
        if found is not None:
            user: object = found[0]
            return user if users.may_be_user(user) else None
    return None
