"""`v1/metrics`: the endpoint for Prometheus."""

from __future__ import annotations

import hmac

from ..events.prometheus import exposition
from ..http.bearer import token_of
from ..http.call import ApiRequest, ApiResponse
from ..http.problems import problem
from ..http.site import Site
from ..verifier.operations import AsyncVerifier
from .session import client_refused


async def show(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse:
    """GET v1/metrics: 200 with the metrics for the bearer of the site's token.

    404 on a site without a token, as for a path that does not exist: the numbers tell a site's business.
    """
    if not site.metrics_token:
        return problem(404, "not_found", "Not found.")
    presented = (token_of(call.headers.get("authorization")) or "").encode()
    if not hmac.compare_digest(presented, site.metrics_token.encode()):
        return client_refused()
    text, media_type = exposition(call.headers.get("accept", ""))
    return ApiResponse(200, text=text, text_type=media_type)
