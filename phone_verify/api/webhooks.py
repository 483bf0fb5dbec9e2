"""`webhooks/{driver}/{secret}`: events from providers. Never signs anyone in."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qsl

from ..http.call import ApiRequest, ApiResponse
from ..http.problems import problem
from ..http.site import Site
from ..model import WebhookRequest
from ..verifier.operations import AsyncVerifier

_MOST_PARAMETERS = 100


async def receive(site: Site, flows: AsyncVerifier, call: ApiRequest, driver: str, secret: str) -> ApiResponse:
    """200 `OK`, also for unknown and repeated events: a provider repeats what is not accepted."""
    presented = secret.encode("utf-8", "surrogatepass")
    is_valid = sum(hmac.compare_digest(presented, good.encode()) for good in site.webhook_secrets)
    if not is_valid or driver not in flows.drivers:
        return problem(404, "not_found", "Not found.")
    if call.body is None:
        return problem(413, "too_large", "Request body too large.")
    parameters = _parameters(call.query)
    if call.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        parameters = [*parameters, *_parameters(call.body.decode("utf-8", "replace"))]
    await flows.receive(driver, WebhookRequest(call.method, parameters, call.headers, call.body))
    return ApiResponse(200, text="OK")


def _parameters(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="replace")
    except ValueError:
        return []
