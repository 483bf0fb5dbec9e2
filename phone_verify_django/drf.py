"""For Django REST framework: a proof in exchange for the site's own token.

path("api/token/phone/", ExchangeView.as_view(token_for_user="shop.tokens.pair"))
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import classonlymethod
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables
from rest_framework.permissions import AllowAny  # type: ignore[import-untyped]
from rest_framework.request import Request  # type: ignore[import-untyped]
from rest_framework.views import APIView  # type: ignore[import-untyped]

from phone_verify.api import ApiResponse, SignIn, answered, invalid_proof, mfa_required, refused, signed_in
from phone_verify.http.problems import invalid, unavailable
from phone_verify.sync import run

from . import accounts, calls
from .site import current_site

log = logging.getLogger("phone_verify")

_PATH = "v1/session"


class ExchangeView(APIView):  # type: ignore[misc]
    """Takes a proof as `POST v1/session` does, and answers with the site's own token; no session begins.

    `token_for_user` is a function, or the dotted path of one, that is given the user and the request, and returns
    what the answer holds beside `user` and `created`. Refusals, and their bodies, are those of `POST v1/session`. Our
    limits throttle what leads to a proof; the view asks for no login and has no throttle of its own.
    """

    token_for_user: str | Callable[[Any, HttpRequest], Mapping[str, Any]] | None = None

    authentication_classes: ClassVar[Sequence[Any]] = ()
    permission_classes: ClassVar[Sequence[Any]] = (AllowAny,)
    throttle_classes: ClassVar[Sequence[Any]] = ()

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Any:  # noqa: N805 - Django's kind of classmethod
        """The view function. Raises `ImproperlyConfigured` without a function that makes the token."""
        named = initkwargs.get("token_for_user", cls.token_for_user)
        if isinstance(named, str):
            try:
                named = import_string(named)
            except ImportError as error:
                raise ImproperlyConfigured(f"token_for_user: {error}") from None
        if not callable(named):
            raise ImproperlyConfigured(
                "token_for_user: name the function that makes a token for a user, like "
                "ExchangeView.as_view(token_for_user='shop.tokens.pair')"
            )
        view = super().as_view(**{**initkwargs, "token_for_user": staticmethod(named)})
        # With ATOMIC_REQUESTS an error after the exchange would give the proof back.
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    @sensitive_variables()
    def post(self, request: Request) -> HttpResponse:
        """Burn the proof, and make the token."""
        asked: HttpRequest = request._request  # its body is read by us: up to our limit, and by our rules
        site = current_site()
        try:
            call = calls.read_call(asked, _PATH)
        except OSError:
            return self._response(asked, invalid("The body did not arrive whole."))
        answer = run(answered(site, site.verifier.flows, call))
        if not isinstance(answer, SignIn):
            return self._response(asked, answer if isinstance(answer, ApiResponse) else invalid_proof())
        try:
            try:
                account = accounts.sign_in(asked, answer.redeemed, session=False)
            except accounts.MfaRequiredError:
                return self._response(asked, mfa_required(call))
            if account is None:
                return self._response(asked, refused(call))
            user = get_user_model()._default_manager.get(pk=account.user.id)
            make: Any = self.token_for_user
            token = make(user, asked)
        except DatabaseError as error:
            # The kind only: a database's own words can hold values.
            log.error("the database of accounts did not answer: %s", type(error).__name__)
            return self._response(asked, unavailable())
        reply = signed_in(site, call, answer.redeemed, account.user, created=account.created)
        return self._response(asked, replace(reply, document={**token, **(reply.document or {})}, device_cookie=None))

    def _response(self, request: HttpRequest, reply: ApiResponse) -> HttpResponse:
        return calls.response(request, current_site(), request.path, reply)
