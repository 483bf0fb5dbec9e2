"""A view for Django REST framework: exchange a proof for the site's own token.

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

from phone_verify.api import ApiResponse, SignIn, dispatch, invalid_proof
from phone_verify.errors import missing_extra
from phone_verify.http.problems import invalid, unavailable
from phone_verify.model import Redeemed
from phone_verify.sync import run

from . import accounts, actions, calls, primary, users
from .api_views import ApiReplies
from .site import current_site, site_of
from .store.transactions import name_of
from .view_rules import outside_transactions

try:
    from rest_framework.permissions import AllowAny  # type: ignore[import-untyped]
    from rest_framework.request import Request  # type: ignore[import-untyped]
    from rest_framework.views import APIView  # type: ignore[import-untyped]
except ImportError as error:
    raise missing_extra("phone_verify_django.drf", "drf", error) from error

log = logging.getLogger("phone_verify")

_PATH = "v1/session"


class ExchangeView(APIView):  # type: ignore[misc]
    """Accept a proof as `POST v1/session` does, and reply with the site's own token; no session is opened.

    `token_for_user` is a function, or its dotted path. It is called with the user and the request
    and returns the fields of the reply in addition to `user` and `created`. Refusals and their
    bodies are those of `POST v1/session`. The view requires no login and has no throttle, since our
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
            call = calls.read_call(http, _PATH)
        except OSError:
            return self._response(http, invalid(calls.INCOMPLETE_BODY))
        result = run(dispatch(site, site.verifier.flows, call))
        if not isinstance(result, SignIn):
            return self._response(http, result if isinstance(result, ApiResponse) else invalid_proof())
        replies = _TokenReplies(site, call, http, self.token_for_user)
        try:
            return self._response(http, actions.perform(http, result, replies, session=False))
        except DatabaseError as error:
            log.error("the database of accounts is unavailable: %s", name_of(error))
            return self._response(http, unavailable())

    def _response(self, request: HttpRequest, reply: ApiResponse) -> HttpResponse:
        return calls.response(request, current_site(), reply)


@dataclass(frozen=True, slots=True)
class _TokenReplies(ApiReplies):
    """The API's replies, with a token in the place of a session."""

    token_for_user: Any

    @primary.reads()
    def session_created(self, account: accounts.Account, redeemed: Redeemed) -> ApiResponse:
        user = users.load(account.user.id)
        if user is None:  # hidden since the sign-in
            return self.login_refused()
        token = self.token_for_user(user, self.request)
        # Not `super()`, which does not work in a dataclass with slots.
        reply = ApiReplies.session_created(self, account, redeemed)
        return replace(reply, document={**token, **(reply.document or {})}, device_cookie=None)
