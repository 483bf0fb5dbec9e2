"""The header `Idempotency-Key`: the same request again gets the same response, and sends nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from ..http.bearer import token_of
from ..http.call import ApiRequest, ApiResponse
from ..http.client_address import call_address
from ..http.cookies import presented_secrets
from ..http.problems import invalid, problem, unavailable
from ..http.site import Site
from ..model import Outcome, value_class
from ..verifier.operations import AsyncVerifier
from ..verifier.redemption import MAX_SECRETS
from ..verifier.repeats import Conflict, KeyedRequest, Performed, Repeat
from .representation import verification

HEADER = "idempotency-key"

_LONGEST_KEY = 255
_BARE = re.compile(r"[!#-~][!-~]*", re.ASCII)
#: A string of structured fields (RFC 9651), without spaces.
_QUOTED = re.compile(r'"((?:[!#-\[\]-~]|\\["\\])*)"', re.ASCII)
_ESCAPED = re.compile(r'\\(["\\])')
#: Cookies of statistics and of firewalls change between two attempts; by convention they begin like this.
_CHANGING = re.compile(r"_(?!_Host-|_Secure-)")


@value_class
class Sent:
    """A success: the JSON of a verification, and the times behind its `expires_in` and `resend_in`."""

    document: Mapping[str, object] = field(repr=False)
    expires_at: datetime
    resend_at: datetime


def sent(outcome: Outcome, **more: object) -> Sent:
    """Return the success of a start or resend, with `more` fields."""
    record = outcome.verification
    if record is None:
        raise ValueError("this outcome has no verification")
    return Sent({**verification(outcome), **more}, record.expires_at, record.resend_at)


def idempotency_key(call: ApiRequest) -> str | ApiResponse | None:
    """Return the key of this request, without quotation marks; None without one, or the refusal."""
    header = call.headers.get(HEADER)
    if header is None:
        return None
    if (quoted := _QUOTED.fullmatch(header)) is not None:
        key = _ESCAPED.sub(r"\1", quoted[1])
    else:
        key = header if _BARE.fullmatch(header) else ""
    if not 0 < len(key) <= _LONGEST_KEY:
        return invalid(f"Idempotency-Key: use 1 to {_LONGEST_KEY} visible ASCII characters, quoted or not.")
    return key


def of_start(site: Site, call: ApiRequest, key: str, body: Mapping[str, object], tag: str) -> KeyedRequest:
    """Return a start with this key, from the client that it shows to be.

    A client is its token or access key, or else its cookies, or else its address, and its signed-in user. A
    repetition that presents the secret of the first response is from the same client too, although
    that response changed the cookies.
    """
    user = call.user.id if call.user is not None else ""
    secrets = [of_secret(call, secret) for secret in presented_secrets(call)[:MAX_SECRETS]]
    return KeyedRequest(key, [f"{_client(site, call)}\0{user}\0{call.client}", *secrets], _content(call, body), tag)


def of_resend(call: ApiRequest, key: str, body: Mapping[str, object], secret: str, tag: str) -> KeyedRequest:
    """Return a resend with this key: its client is the one that presents the verification's secret."""
    return KeyedRequest(key, [of_secret(call, secret)], _content(call, body), tag)


def of_secret(call: ApiRequest, secret: str) -> str:
    """Return the mark of a client that presents this secret: of a program with its key or token, or of a device.

    All of them can have the secret, and each has limits of its own.
    """
    return f"secret\0{secret}\0{call.key_id}\0{call.client}"


async def once(
    flows: AsyncVerifier,
    call: ApiRequest,
    request: KeyedRequest | None,
    send: Callable[[], Coroutine[Any, Any, Sent | ApiResponse]],
    respond: Callable[[Mapping[str, object], bool], ApiResponse],
) -> ApiResponse:
    """Send once for a request with a key, or each time without one, and return the response.

    `send` returns the success, or the refusal, which is not kept. `respond` makes the response of a
    success from its document, also of one that was kept; its second argument is whether the session
    of this request is the one that sent.
    """
    if request is None:
        result = await send()
        return respond(result.document, True) if isinstance(result, Sent) else result

    async def perform() -> Performed:
        result = await send()
        if not isinstance(result, Sent):
            return Performed(result)
        secret = result.document.get("secret")
        client = of_secret(call, secret) if isinstance(secret, str) else None
        return Performed(result, _as_text(result), client)

    found = await flows.repeats.once(request, perform)
    if isinstance(found, Repeat):
        return respond(_repeated(found), not found.by_secret)
    if isinstance(found, Performed):
        return respond(found.result.document, True) if isinstance(found.result, Sent) else found.result
    if found is Conflict.OTHER_REQUEST:
        return problem(422, "idempotency_mismatch", "This Idempotency-Key was used for another request.")
    return unavailable("The first request with this Idempotency-Key is still being processed.")


def _client(site: Site, call: ApiRequest) -> str:
    if token := token_of(call.headers.get("authorization")):
        return f"token\0{token}"
    cookies = (cookie.strip() for cookie in call.headers.get("cookie", "").split(";"))
    if shown := sorted(cookie for cookie in cookies if cookie and not _CHANGING.match(cookie)):
        return "cookies\0" + ";".join(shown)
    return f"address\0{call_address(site, call) or ''}"


def _content(call: ApiRequest, body: Mapping[str, object]) -> str:
    return f"{call.path}\0{json.dumps(body, sort_keys=True)}"


def _as_text(success: Sent) -> str:
    times = {"expires_at": success.expires_at.isoformat(), "resend_at": success.resend_at.isoformat()}
    return json.dumps({"document": success.document, **times})


def _repeated(repeat: Repeat) -> Mapping[str, object]:
    """Return the document of a kept success, with the time that is left now."""
    kept = json.loads(repeat.response)
    left = {
        name: max(0, math.ceil((datetime.fromisoformat(kept[at]) - repeat.read_at).total_seconds()))
        for name, at in (("expires_in", "expires_at"), ("resend_in", "resend_at"))
    }
    return {**kept["document"], **left}
