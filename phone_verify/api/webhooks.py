"""`webhooks/{driver}/{secret}`: events from providers. Never signs anyone in."""

from __future__ import annotations

import hmac
from dataclasses import replace

from ..exchange import WebhookRequest, parameters_of
from ..http.call import ApiRequest, ApiResponse
from ..http.problems import problem
from ..http.site import Site
from ..verifier.operations import AsyncVerifier


async def receive(site: Site, flows: AsyncVerifier, call: ApiRequest, driver: str, secret: str) -> ApiResponse:
    """200, also for unknown and repeated events: a provider repeats what is not accepted.

    The text is the one that the provider waits for; the reply to its question is JSON. 403 if the
    provider signs its webhooks and did not sign this one. If the store is unavailable, 503, but 200 with
    a text that rejects the call: any other status makes the provider answer it, which costs.
    """
    presented = secret.encode("utf-8", "surrogatepass")
    is_valid = sum(hmac.compare_digest(presented, good.encode()) for good in site.webhook_secrets)
    if not is_valid or driver not in flows.drivers:
        return problem(404, "not_found", "Not found.")
    if call.body is None:
        return problem(413, "too_large", "Request body too large.")
    url = flows.webhook_url(driver, secret)
    if url and call.query:
        url = f"{url}?{call.query}"
    request = WebhookRequest(call.method, parameters_of(call.query), call.headers, call.body, url or "")
    result = await flows.receive(driver, replace(request, parameters=[*request.parameters, *request.form]))
    if result.rejected:
        return problem(403, "invalid_signature", "The signature of this webhook is missing or wrong.")
    if result.reply is not None:
        return ApiResponse(200, result.reply)
    return ApiResponse(200, text=result.text, text_type=result.content_type)
