"""The backend of django-oauth-toolkit with our grants: `OAUTH2_PROVIDER["OAUTH2_BACKEND_CLASS"]`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from phone_verify.errors import missing_extra
from phone_verify.model import Redeemed
from phone_verify.oauth import grant as core

from .. import account_policy, accounts, primary, users
from ..site import site_of
from ..store import joining_on_sqlite
from ..store.transactions import name_of
from .grants import ClientGrant, client_grants

try:
    from oauth2_provider.oauth2_backends import OAuthLibCore  # type: ignore[import-untyped]
    from oauthlib.oauth2.rfc6749 import errors  # type: ignore[import-untyped]
    from oauthlib.oauth2.rfc6749.grant_types.base import GrantTypeBase  # type: ignore[import-untyped]
except ImportError as error:
    raise missing_extra("phone_verify_django.oauth_toolkit", "oauthtoolkit", error) from error

log = logging.getLogger("phone_verify")

#: Parameters that a request for any grant may contain only once.
_ONCE = (*core.PARAMETERS, "grant_type", "client_id", "client_secret", "scope")
_CONFIDENTIAL = "confidential"

#: The request of the token endpoint: oauthlib does not pass it on, and the account rules need it.
_request: ContextVar[HttpRequest] = ContextVar("phone_verify_django.oauth_toolkit.request")


class PhoneVerifyGrants:
    """Adds our grants to a backend of django-oauth-toolkit, which the site may have replaced.

    It also reads JSON bodies of strings, and refuses to refresh the tokens of inactive users.
    """

    server: Any

    @sensitive_variables()
    def create_token_response(self, request: HttpRequest) -> Any:
        """Return the response of the token endpoint."""
        # Read by error reports. "__ALL__" would not mask the form in variables of the toolkit's view.
        request.sensitive_post_parameters = tuple(request.POST)  # type: ignore[attr-defined]
        if core.has_credentials_of_no_client(request.headers.get("Authorization"), dict(self.extract_body(request))):
            refused = errors.InvalidClientError()
            return None, refused.headers, refused.json, refused.status_code
        for name in client_grants():
            self.server.grant_types.setdefault(name, MobileVerificationGrant(self.server.request_validator))
        refresh = self.server.grant_types.get("refresh_token")
        if refresh is not None and _require_active not in refresh.custom_validators.post_token:
            refresh.custom_validators.post_token.append(_require_active)
        token = _request.set(request)
        try:
            # With ATOMIC_REQUESTS the toolkit's view is inside a transaction, which commits every response.
            with joining_on_sqlite():
                return super().create_token_response(request)  # type: ignore[misc]
        finally:
            _request.reset(token)

    def extract_body(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Return the parameters of a form or of a JSON object; values that are not strings are left out.

        Those of our grants include repeated ones, which `parse` refuses.
        """
        if request.content_type == "application/json":
            return list(core.json_parameters(request.body))
        once = request.POST if request.POST.get("grant_type") in client_grants() else _ONCE
        repeated = [(name, value) for name in once for value in request.POST.getlist(name)[1:]]
        parameters: list[tuple[str, str]] = super().extract_body(request)  # type: ignore[misc]
        return [*parameters, *repeated]


class PhoneVerifyOAuthCore(PhoneVerifyGrants, OAuthLibCore):  # type: ignore[misc]
    """The backend for sites that use the one of django-oauth-toolkit."""


class _RefusedError(Exception):
    """The grant is refused; `refusal` is the response."""

    def __init__(self, refusal: core.Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


class MobileVerificationGrant(GrantTypeBase):  # type: ignore[misc]
    """The extension grant, under every name in `PHONE_VERIFY["oauth_grants"]`."""

    @sensitive_variables()
    def create_token_response(self, request: Any, token_handler: Any) -> tuple[Mapping[str, str], str, int]:
        """Return headers, body and status."""
        headers = self._get_default_headers()
        try:
            request.user = self._user_of(request)
        except errors.OAuth2Error as error:
            return {**headers, **error.headers}, error.json, error.status_code
        except _RefusedError as refused:
            refusal = refused.refusal
            body = {"error": refusal.error, "error_description": refusal.description}
            return {**headers, **refusal.headers}, json.dumps(body), refusal.status
        token = token_handler.create_token(request, refresh_token=self.refresh_token)
        for modifier in self._token_modifiers:
            token = modifier(token)
        self.request_validator.save_token(token, request)
        return headers, json.dumps(token), 200

    def _user_of(self, request: Any) -> Any:
        """Return the user who signs in. Everything that needs no code is checked before it."""
        self.validate_client_confidential(request)
        found = client_grants().get(request.grant_type)
        if found is None:
            raise errors.UnsupportedGrantTypeError(request=request)
        client: str = request.client.client_id
        if request.client.client_type != _CONFIDENTIAL or client not in found.clients:
            raise errors.UnauthorizedClientError(request=request)
        http = _request.get()
        verifier = site_of(http).verifier
        wanted = core.parse(verifier.flows.policy, request.decoded_body or [])
        if isinstance(wanted, core.Refusal):
            raise _RefusedError(wanted)
        self.validate_scopes(request)
        redeemed = core.redeem(verifier, found.grant, client, wanted)
        if isinstance(redeemed, core.Refusal):
            raise _RefusedError(redeemed)
        try:
            return _sign_in(http, found, client, redeemed, wanted.extra)
        except DatabaseError as error:
            log.error("the database of accounts is unavailable: %s", name_of(error))
            raise _RefusedError(core.UNAVAILABLE) from None


@primary.reads()
def _sign_in(
    request: HttpRequest, found: ClientGrant, client: str, redeemed: Redeemed, extra: Mapping[str, str]
) -> Any:
    """Return the user of this number, by the rules of every sign-in and of the site's function."""
    accepted = core.is_accepted(found.grant, client, redeemed, extra)
    required = accepted if isinstance(accepted, get_user_model()) else None
    if not accepted or (required is not None and account_policy.find(redeemed) != required):
        raise _RefusedError(core.INVALID_GRANT)
    try:
        account = accounts.sign_in(request, redeemed, session=False)
    except accounts.MfaRequiredError:
        raise _RefusedError(core.INVALID_GRANT) from None
    user = users.load(account.user.id) if account is not None else None
    if user is None:
        raise _RefusedError(core.INVALID_GRANT)
    return user


def _require_active(request: Any) -> None:
    """Refuse to refresh the token of a user who is inactive or deleted; the toolkit does not look."""
    if request.user is not None and not request.user.is_active:
        raise errors.InvalidGrantError(request=request)
