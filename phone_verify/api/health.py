"""`v1/health` and `v1/ready`: whether the site can verify, for load balancers and monitoring."""

from __future__ import annotations

from ..http.call import ApiRequest, ApiResponse
from ..http.problems import unavailable
from ..http.site import Site
from ..verifier.operations import AsyncVerifier

#: An id in the right form that no verification has, so that the answer does not depend on any.
_NOBODYS_ID = "A" * 44


async def show(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse:
    """GET v1/health: 200, after one read of the store. An unavailable store gives 503, as for every call."""
    await flows.get(_NOBODYS_ID, "")
    return ApiResponse(200, {"status": "ok"})


async def show_ready(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse:
    """GET v1/ready: 200 if a start can succeed: the store answers and a channel is configured; otherwise 503."""
    return await show(site, flows, call) if flows.router.channels else unavailable()
