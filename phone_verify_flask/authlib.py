"""The bridge to Authlib: OAuth clients sign users in by their verified number.

    oauth = MobileVerification(app, server, require_oauth)
    oauth.register("mobile_verification")

`server` is the site's `AuthorizationServer`, `require_oauth` its `ResourceProtector`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from flask import Flask, request
from werkzeug.datastructures import ImmutableMultiDict

from phone_verify.errors import ConfigurationError, StoreError, missing_extra
from phone_verify.model import Redeemed
from phone_verify.oauth import grant as core

from . import login
from .oauth_clients import register
from .signals import send_phone_verified
from .state import KEY, AppState, current_state
from .tokens import has_second_factor

try:
    from authlib.integrations.flask_oauth2 import AuthorizationServer  # type: ignore[import-untyped]
    from authlib.integrations.flask_oauth2.requests import (  # type: ignore[import-untyped]
        FlaskJsonRequest,
        FlaskOAuth2Request,
    )
    from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
    from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
        InvalidClientError,
        InvalidScopeError,
        UnauthorizedClientError,
    )
    from authlib.oauth2.rfc6749.grants import BaseGrant, TokenEndpointMixin  # type: ignore[import-untyped]
    from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload  # type: ignore[import-untyped]
except ImportError as error:
    raise missing_extra("phone_verify_flask.authlib", "authlib", error) from error

log = logging.getLogger("phone_verify")

_Judge = TypeVar("_Judge", bound=core.Judge)


class MobileVerification:
    """Our grants on a server of Authlib, and the clients that may start verifications with their own tokens.

    Create it after `PhoneVerify`, or call `init_app` in an application factory. Raises `ConfigurationError` for what
    cannot work.
    """

    def __init__(self, app: Flask | None = None, server: Any = None, protector: Any = None) -> None:
        self._names: list[str] = []
        self._server: Any = None
        if app is not None:
            self.init_app(app, server, protector)

    def init_app(self, app: Flask, server: Any, protector: Any) -> None:
        """Let the clients of `server` start verifications with the tokens that `protector` accepts."""
        if not isinstance(app.extensions.get(KEY), AppState):
            raise ConfigurationError("MobileVerification requires PhoneVerify", "Write PhoneVerify(app) before it.")
        if "bearer" not in getattr(protector, "_token_validators", ()):
            raise ConfigurationError(
                "the resource protector accepts no bearer tokens",
                "Write require_oauth.register_token_validator(…) before MobileVerification(app, server, …).",
            )
        self._server, self._app = server, app

        def client_of() -> str | None:
            return _client_of(server, protector, self._names)

        register(app, client_of)

    def register(
        self, name: str, judge: core.Judge | None = None, *, purposes: Collection[str] = core.DEFAULT_PURPOSES
    ) -> None:
        """Add the grant under this name, for clients whose `check_grant_type` allows it.

        `judge` receives the client's id, the `Redeemed` and the request's further fields. It returns True, or the
        only user that may sign in; anything false refuses. Only verifications of these `purposes` count.
        """
        if self._server is None:
            raise ConfigurationError("MobileVerification has no server", "Call init_app(app, server, protector) first.")
        if name in self._names:
            raise ConfigurationError(f"the grant {name} is registered twice")
        grant = core.Grant(name, tuple(purposes), judge)
        grant.validate(self._app.extensions[KEY].site.purposes)
        self._names.append(name)
        # Authlib selects a grant by its class.
        self._server.register_grant(type("Grant", (MobileVerificationGrant,), {"GRANT_TYPE": name, "grant": grant}))

    def grant(self, name: str, *, purposes: Collection[str] = core.DEFAULT_PURPOSES) -> Callable[[_Judge], _Judge]:
        """Register the grant with the decorated function as its `judge`."""

        def decorate(judge: _Judge) -> _Judge:
            self.register(name, judge, purposes=purposes)
            return judge

        return decorate


class _RefusedError(OAuth2Error):  # type: ignore[misc]
    """The grant is refused."""

    def __init__(self, refusal: core.Refusal) -> None:
        super().__init__(refusal.description, error=refusal.error, status_code=refusal.status)
        self._more = refusal.headers

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), *self._more.items()]


class MobileVerificationGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """The extension grant. A subclass names it; `MobileVerification.register` makes one."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")
    grant: core.Grant

    def validate_token_request(self) -> None:
        """Check everything that needs no code: the client, its permission, the scope and the parameters."""
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError(f"The client is not authorized to use 'grant_type={self.GRANT_TYPE}'")
        self.request.client = client
        self.validate_requested_scope()
        scope = self.request.payload.scope or ""
        # Authlib would leave out the scopes that the client does not have.
        if set(scope.split()) - set((client.get_allowed_scope(scope) or "").split()):
            raise InvalidScopeError
        policy = current_state().site.verifier.flows.policy
        self._wanted = _accepted(core.parse(policy, list(self.request.form.items(multi=True))))

    def create_token_response(self) -> tuple[int, Any, Any]:
        """Check the code and issue the tokens of its user."""
        client = self.request.client
        client_id: str = client.get_client_id()
        redeemed = _accepted(core.redeem(current_state().site.verifier, self.grant, client_id, self._wanted))
        try:
            user = self._user_of(client_id, redeemed, self._wanted.extra)
        except StoreError as error:
            log.error("the store did not answer: %s", error)
            user = _accepted(core.UNAVAILABLE)
        self.request.user = user
        token = self.generate_token(
            user=user,
            scope=self.request.payload.scope,
            include_refresh_token=client.check_grant_type("refresh_token"),
        )
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER

    def _user_of(self, client: str, redeemed: Redeemed, extra: Mapping[str, str]) -> Any:
        """Return the user of this number, by the rules of every sign-in and of the site's function."""
        here = current_state()
        accepted = core.is_accepted(self.grant, client, redeemed, extra)
        found = login.admit(here.site, here.accounts, redeemed) if accepted else None
        if found is None or (hasattr(accepted, "get_id") and accepted.get_id() != found.user.get_id()):
            return _accepted(core.INVALID_GRANT)
        if has_second_factor(found.user):
            return _accepted(core.INVALID_GRANT)
        send_phone_verified(found.user, redeemed)
        return found.user


class JsonAuthorizationServer(AuthorizationServer):  # type: ignore[misc]
    """An `AuthorizationServer` whose token endpoint also reads JSON objects of strings, which OAuth does not define."""

    def create_oauth2_request(self, request: Any) -> Any:
        """Return the current request for the grants."""
        return _JsonRequest() if _is_json() else super().create_oauth2_request(request)

    def authenticate_client(self, request: Any, methods: Any, endpoint: str = "token") -> Any:
        """Return the client of the request. Raises `InvalidClientError` for credentials that no client can have."""
        if core.has_credentials_of_no_client(request.headers.get("Authorization"), request.form):
            raise InvalidClientError(status_code=401)
        return super().authenticate_client(request, methods, endpoint)


class _JsonRequest(FlaskOAuth2Request):  # type: ignore[misc]
    """A token request with a JSON body. Values that are not strings are left out."""

    def __init__(self) -> None:
        super().__init__(request)
        self._parameters = ImmutableMultiDict(core.json_parameters(request.get_data()))
        self.payload = BasicOAuth2Payload(self._parameters.to_dict())

    @property
    def form(self) -> ImmutableMultiDict[str, str]:
        return self._parameters


def _is_json() -> bool:
    return request.mimetype == "application/json"


T = TypeVar("T")


def _accepted(found: T | core.Refusal) -> T:
    if isinstance(found, core.Refusal):
        raise _RefusedError(found)
    return found


def _client_of(server: Any, protector: Any, names: Collection[str]) -> str | None:
    """Return the id of the client whose own token the current request has; None for any other token.

    The token was issued to the client itself (`client_credentials`), not for a user; it has the scope `phone_verify`
    and has not expired. The client may use one of our grants.
    """
    try:
        token = protector.validate_request([core.START_SCOPE], FlaskJsonRequest(request))
    except OAuth2Error:
        return None
    if _user_id(token) is not None:
        return None
    client_id = getattr(token, "client_id", None)
    client = server.query_client(client_id) if client_id else None
    if client is None or not any(client.check_grant_type(name) for name in names):
        return None
    return str(client.get_client_id())


def _user_id(token: Any) -> object:
    """Return the user of a token as the site stores it; None for a client's own token."""
    return token.user_id if hasattr(token, "user_id") else token.get_user()
