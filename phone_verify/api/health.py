"""`v1/health`: whether the verification store answers, for load balancers and monitoring."""

from __future__ import annotations

from ..http.call import ApiRequest, ApiResponse
from ..http.site import Site
from ..verifier.operations import AsyncVerifier

#: An id in the right form that no verification has, so that the answer does not depend on any.
_NOBODYS_ID = "A" * 44


async def show(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse:
    """GET v1/health: 200, after one read of the store. An unavailable store gives 503, as for every call."""
    await flows.get(_NOBODYS_ID, "")
    return ApiResponse(200, {"status": "ok"})
