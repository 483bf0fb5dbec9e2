"""`v1/token`: a proof is exchanged for a token of the site. The token is made by the site's own function."""

from __future__ import annotations

from collections.abc import Mapping

from ..http.call import ApiRequest, ApiResponse, IssueToken, SessionUser
from ..http.csrf import cross_site
from ..http.problems import problem
from ..http.site import Site
from ..purposes import SIGN_IN_PURPOSES
from ..verifier.operations import AsyncVerifier
from . import bodies
from .session import invalid_proof, presented, user_document


async def issue(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse | IssueToken:
    """POST v1/token: redeems the proof; the adapter continues. Without a function no proof is used up."""
    fields = bodies.parse_body(call, ["proof"])
    if isinstance(fields, ApiResponse):
        return fields
    if forged := cross_site(call, site):
        return forged
    if not call.issues_tokens:
        return problem(404, "not_found", "This site issues no tokens.")
    redeemed = await flows.redeem(fields["proof"], presented(call), SIGN_IN_PURPOSES)
    return invalid_proof() if redeemed is None else IssueToken(redeemed)


def token_issued(user: SessionUser, token: str | Mapping[str, object], *, created: bool) -> ApiResponse:
    """Return the response with the user's token. It sets no cookie."""
    return ApiResponse(200, {"user": user_document(user), "created": created, "token": token})
