"""The service of a call: that of its verification, the one it names, or the site's own."""

from __future__ import annotations

from dataclasses import replace

from ..errors import StoreError, UnusableServiceError
from ..http.call import ApiResponse
from ..http.problems import invalid, problem
from ..http.site import Site
from ..purposes import DEFAULT_SERVICE
from ..verifier.operations import AsyncVerifier


async def service_of_call(site: Site, flows: AsyncVerifier, id: str | None) -> AsyncVerifier:
    """Return the verifier of the site's own service, or of the verification's if the call has its `id`.

    A site without services reads nothing here. Raises `StoreError`.
    """
    if not flows.services.exist:
        return flows
    own = await flows.services.find(site.service)
    if own is None:
        raise StoreError(f"The service {site.service}, which PHONE_VERIFY_SERVICE names, does not exist")
    return own if id is None else await own.services.of_verification(id)


async def key_service(flows: AsyncVerifier, name: str) -> AsyncVerifier | None:
    """Return the verifier of an access key's service, or None if it does not exist. Raises `StoreError`."""
    return await flows.services.find(name)


async def service_of_start(site: Site, flows: AsyncVerifier, name: str | None) -> AsyncVerifier | ApiResponse:
    """Return the verifier of the service that a start names, or by default that of the call.

    Without an access key only a public one may be named; the refusal does not reveal whether there is
    another, not even one with mistakes. Raises `StoreError`.
    """
    if name is None or name == flows.service:
        return flows
    if not flows.services.exist:
        return invalid("Invalid value for: service. Allowed: default.", "service")
    try:
        found = await flows.services.find(name)
    except UnusableServiceError:
        found = None
    known = site.services.known(name) if site.services is not None else None
    if found is not None and (name == DEFAULT_SERVICE or (known is not None and known.public)):
        return found
    if site.services is not None and site.services.is_down:
        raise StoreError("It is not known which services are public now")
    return key_required()


def key_required() -> ApiResponse:
    """Return the refusal of a call that needs an access key."""
    reply = problem(401, "invalid_key", "This service needs an access key.", fields=["service"])
    return replace(reply, headers={**reply.headers, "WWW-Authenticate": "Bearer"})
