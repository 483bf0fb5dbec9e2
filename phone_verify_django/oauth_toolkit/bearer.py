"""The access tokens with which an OAuth client starts verifications."""

from __future__ import annotations

from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from oauth2_provider.settings import oauth2_settings  # type: ignore[import-untyped]

from phone_verify.oauth.grant import START_SCOPE

from .. import primary
from .grants import clients


@primary.reads()
@sensitive_variables()
def client_of(request: HttpRequest) -> str | None:
    """Return the id of the client whose own token this request has; None for any other token.

    The token was issued to the client itself (`client_credentials`), not for a user; it has the scope
    `phone_verify`, has not expired, and is not restricted to other resources. The client may use one
    of our grants.
    """
    core = oauth2_settings.OAUTH2_BACKEND_CLASS()
    # Without the query, which may hold a token too, and without the body, which the API reads.
    uri = request.build_absolute_uri(request.path)
    headers = {"Authorization": request.headers["Authorization"]}
    valid, found = core.server.verify_request(uri, request.method, "", headers, scopes=[START_SCOPE])
    if not valid or found.user is not None or found.client is None:
        return None
    client: str = found.client.client_id
    return client if client in clients() else None
