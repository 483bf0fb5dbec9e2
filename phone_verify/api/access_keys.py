"""Calls of other programs, whose servers present an access key of a service.

A key can do what the visitors of its service can, without a browser: no session, no cookie and no
trusted device is read or written, and no rule against forgery applies, since a browser never sends
a key by itself. Presenting wrong keys is not limited: 256 random bits cannot be guessed.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import InvalidPhoneError
from ..http.bearer import presented_key
from ..http.call import ApiRequest, ApiResponse
from ..http.client_address import client_of
from ..http.cookies import secret_for
from ..http.number_change import read_number
from ..http.problems import problem
from ..http.site import Site
from ..i18n.texts import PAGE
from ..verifier.operations import AsyncVerifier
from . import bodies
from .key_limits import limited_by_key
from .services import key_service
from .session import invalid_proof

_FOR_KEYS = re.compile(r"v1/verifications(/.*)?", re.DOTALL)
#: These answer everyone alike, with any header.
_FOR_ALL = re.compile(r"webhooks/.*|v1/(health|ready|metrics|openapi\.json)", re.DOTALL)
#: Only browsers send these.
_OF_BROWSERS = ("origin", "sec-fetch-site")


async def with_key(
    site: Site, flows: AsyncVerifier, call: ApiRequest
) -> tuple[AsyncVerifier, ApiRequest] | ApiResponse:
    """Return the call with the access key that it presents, and the verifier of the key's service.

    A call without a key is returned as it came. A key that is malformed, unknown, expired, revoked,
    or used from another address gets the same 401. One that comes from a browser gets 403: everyone
    who visits a page can read the keys in it. Raises `StoreError`.
    """
    text = presented_key(site, call.headers)
    if text is None or flows.keys is None or _FOR_ALL.fullmatch(call.path):
        return flows, call
    if any(name in call.headers for name in _OF_BROWSERS):
        return problem(
            403,
            "key_in_browser",
            "Access keys are for servers, and this request came from a browser. Revoke the key: visitors can read it.",
        )
    key = await flows.keys.admitted(text, client_of(site, call))
    of_service = await key_service(flows, key.service) if key is not None else None
    if key is None or of_service is None:
        return _invalid_key("This access key is not valid here.")
    if not _FOR_KEYS.fullmatch(call.path):
        return problem(403, "key_not_accepted", "Access keys are for calls under v1/verifications only.")
    # All that a browser could have sent besides is left out.
    plain = ApiRequest(
        method=call.method,
        path=call.path,
        headers=call.headers,
        query=call.query,
        body=call.body,
        peer=call.peer,
        multiprocess=call.multiprocess,
        language=call.language,
        can_stream=call.can_stream,
        access_key=key,
    )
    return limited_by_key(of_service, key), plain


async def redeem(site: Site, flows: AsyncVerifier, call: ApiRequest, id: str) -> ApiResponse:
    """POST v1/verifications/{id}/redeem: consumes the proof for another program; 200 with what it proves.

    For proofs that a program received from its users' devices. It names the number that the proof
    must be of, so that the response reveals none and no program can forget to compare.
    """
    if flows.keys is None:
        return problem(404, "not_found", "Not found.")
    if call.access_key is None:
        return _invalid_key("This call needs an access key.")
    fields = bodies.parse_body(call, ["proof", "phone"], ["region", "purpose"])
    if isinstance(fields, ApiResponse):
        return fields
    try:
        phone = read_number(call, flows.policy, fields["phone"], region=fields.get("region", "").upper())
    except InvalidPhoneError:
        return problem(400, "invalid_phone", PAGE["invalid_phone"], fields=["phone"])
    proof, secrets, purposes = fields["proof"], [secret_for(call, id)], [fields.get("purpose", "login")]
    foreseen = await flows.foresee(proof, secrets, purposes)
    if foreseen is None or foreseen.verification_id != id or foreseen.phone.current != phone.current:
        return invalid_proof()
    redeemed = await flows.redeem(proof, secrets, purposes)
    if redeemed is None:
        return invalid_proof()
    return ApiResponse(
        200,
        {
            "id": redeemed.verification_id,
            "purpose": redeemed.purpose,
            "channel": redeemed.channel.value,
            "assurance": redeemed.assurance.value,
            "verified_at": redeemed.verified_at.isoformat(),
        },
    )


def _invalid_key(detail: str) -> ApiResponse:
    reply = problem(401, "invalid_key", detail)
    return replace(reply, headers={**reply.headers, "WWW-Authenticate": "Bearer"})
