"""The extension grant: an authenticated OAuth client exchanges a code sent to a phone for tokens.

The bridges to OAuth libraries authenticate the client, pass the request's parameters to `redeem`,
sign the user in by their framework's rules, and let the library issue its tokens. Every attempt is
one of the verification's: `redeem` only calls `check` and `redeem` of the verifier.
"""

from __future__ import annotations

import json
import logging
import math
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from urllib.parse import unquote_to_bytes

from ..errors import ConfigurationError, InvalidPhoneError, StoreError, quoted
from ..model import Outcome, Reason, Redeemed
from ..phone import PhoneNumber
from ..policy import Policy
from ..purposes import SECOND_FACTOR, SIGN_IN_PURPOSES, Purposes
from ..verifier.blocking import Verifier

log = logging.getLogger("phone_verify")

#: The usual name of the grant. A site may give it other names, and have several.
MOBILE_VERIFICATION = "mobile_verification"
#: The scope with which a client may start verifications.
START_SCOPE = "phone_verify"

#: The purposes that a grant accepts unless the site names others.
DEFAULT_PURPOSES = SIGN_IN_PURPOSES

MOBILE, CODE = "mobile", "mobile_verification_code"
PROOF, ID, SECRET = "proof", "verification_id", "verification_secret"
PARAMETERS = (MOBILE, CODE, PROOF, ID, SECRET)
#: What other specifications define for every token request; a site's function does not receive it.
_OF_OAUTH = ("grant_type", "client_id", "client_secret", "scope", "client_assertion", "client_assertion_type")
#: Longer values are refused before anything is read.
_LONGEST = 1000
#: As long as the API waits after a failed store.
_RETRY = timedelta(seconds=5)

#: The function of the site that decides: it receives the id of the client, the verified number and
#: the request's further fields. It returns True, or the only user that may sign in; anything false
#: refuses.
Judge = Callable[[str, Redeemed, Mapping[str, str]], object]


@dataclass(frozen=True, slots=True)
class Grant:
    """One name of the grant, and what the site requires for it.

    Only a verification of these purposes counts: they sign users in, or are the site's own open ones.
    """

    name: str = MOBILE_VERIFICATION
    purposes: Collection[str] = DEFAULT_PURPOSES
    judge: Judge | None = None

    def validate(self, known: Purposes) -> None:
        """Raise `ConfigurationError` for a name or a purpose that cannot work."""
        if not _NAME.fullmatch(self.name) or self.name in _BUILT_IN:
            raise ConfigurationError(
                f"{quoted(self.name)} is not a name for the grant",
                "Use one like event_mobile_verification or a URI, which OAuth itself does not define.",
            )
        for purpose in self.purposes:
            if not known.known(purpose) or known.needs_user(purpose):
                raise ConfigurationError(
                    f"the grant {self.name} accepts the purpose {quoted(purpose)}, which no OAuth client can start",
                    f"Use login or signup, or add {purpose}:open to PHONE_VERIFY_PURPOSES."
                    if purpose != SECOND_FACTOR
                    else "Use login or signup, or a purpose of your own.",
                )


#: A name, or an absolute URI (RFC 6749, 4.5).
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,100}", re.ASCII)
#: What the id and the secret of a client consist of.
_CREDENTIAL = re.compile(rb"[ -~]*")
_BUILT_IN = ("authorization_code", "client_credentials", "implicit", "password", "refresh_token")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error response (RFC 6749, section 5.2): `error`, its description, the status, and a wait if that helps.

    A wait has 429 or 503 and `temporarily_unavailable`: the grant was not judged, and the same
    request can succeed later.
    """

    error: str
    description: str
    status: int = 400
    retry_after: timedelta | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the response besides those of every token response."""
        if self.retry_after is None:
            return {}
        return {"Retry-After": str(max(1, math.ceil(self.retry_after.total_seconds())))}


#: The same for every reason: an unknown number, another client's verification, a refused user.
INVALID_GRANT = Refusal("invalid_grant", "The code is wrong, used or expired, or this user cannot sign in with it.")
UNAVAILABLE = Refusal("temporarily_unavailable", "Nothing was checked. Try again later.", 503, _RETRY)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The parameters of a token request that concern the grant; `extra` are those of the site."""

    phone: PhoneNumber
    code: str | None = field(default=None, repr=False)
    proof: str | None = field(default=None, repr=False)
    id: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)


def json_parameters(body: bytes) -> Sequence[tuple[str, str]]:
    """Return the parameters in a JSON object, a repeated one twice; none for any other body.

    Values that are not strings are left out. An object with half a surrogate pair counts as another
    body: no form can hold one, and the OAuth libraries fail on it.
    """
    try:
        pairs = json.loads(body, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        return ()
    texts = [(name, value) for name, value in pairs if isinstance(value, str)]
    try:
        "".join(chain.from_iterable(texts)).encode()
    except UnicodeEncodeError:
        return ()
    return texts


def has_credentials_of_no_client(authorization: str | None, parameters: Mapping[str, str]) -> bool:
    """Return whether the id or the secret holds a character that no client's can have (RFC 6749, A.1 and A.2).

    The OAuth libraries do not check it; a database fails on a NUL, and a comparison of texts on
    other ones.
    """
    shown = [parameters.get(name, "").encode(errors="surrogatepass") for name in ("client_id", "client_secret")]
    scheme, *rest = (authorization or "").split(None, 1) or [""]
    if rest and scheme.lower() == "basic":
        with suppress(ValueError):  # not base64, which the libraries check
            shown.append(unquote_to_bytes(b64decode(rest[0])))
    return not all(_CREDENTIAL.fullmatch(text) for text in shown)


def parse(policy: Policy, parameters: Sequence[tuple[str, str]]) -> TokenRequest | Refusal:
    """Return the grant's parameters, or the refusal of the request. Nothing is checked yet."""
    found: dict[str, str] = {}
    for name, value in parameters:
        if name in found:
            return _malformed("A parameter is repeated.")
        if not isinstance(value, str) or len(value) > _LONGEST:
            return _malformed("A parameter is not a text, or too long.")
        if value:  # without a value it counts as omitted (RFC 6749, 3.2)
            found[name] = value
    if MOBILE not in found:
        return _malformed(f"{MOBILE} is missing.")
    if (CODE in found) == (PROOF in found):
        return _malformed(f"Send either {CODE} or {PROOF}.")
    if PROOF in found and SECRET not in found:
        return _malformed(f"{PROOF} requires {SECRET}.")
    if CODE in found and (ID in found) != (SECRET in found):
        return _malformed(f"{ID} and {SECRET} belong together.")
    try:
        phone = PhoneNumber.read(found[MOBILE], policy.region, also=policy.regions_after(policy.region))
    except InvalidPhoneError:
        return _malformed(f"{MOBILE} is not a phone number.")
    extra = {name: value for name, value in found.items() if name not in (*PARAMETERS, *_OF_OAUTH)}
    return TokenRequest(phone, found.get(CODE), found.get(PROOF), found.get(ID), found.get(SECRET), extra)


def redeem(verifier: Verifier, grant: Grant, client: str, wanted: TokenRequest) -> Redeemed | Refusal:
    """Check the code, consume its proof once, and return what it proves; or the refusal.

    `client` is the id of the authenticated client. Without an id the code is that of the newest
    verification that this client started for the number; with one, of whichever its secret belongs
    to. Wrong answers count against the client. Never raises.
    """
    try:
        redeemed = _redeem(verifier, grant, client, wanted)
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        return UNAVAILABLE
    return redeemed


def is_accepted(grant: Grant, client: str, redeemed: Redeemed, extra: Mapping[str, str]) -> object:
    """Return what the site's function returns; True without one."""
    return True if grant.judge is None else grant.judge(client, redeemed, extra)


def _redeem(verifier: Verifier, grant: Grant, client: str, wanted: TokenRequest) -> Redeemed | Refusal:
    phone = wanted.phone.current
    if wanted.proof is not None:
        return _exchange(verifier, grant, wanted.proof, wanted.secret or "", phone)
    held = (wanted.id, wanted.secret) if wanted.id and wanted.secret else None
    if held is None:
        held = verifier.held_by(client, phone, grant.purposes)
        if held is None:
            return INVALID_GRANT
    id, secret = held
    record = verifier.get(id, secret).verification
    # Before the attempt: it would be one for another number, or for another purpose.
    if record is None or record.phone != phone or record.purpose not in grant.purposes:
        return INVALID_GRANT
    outcome = verifier.check(id, secret, wanted.code or "", oauth_client=client)
    if not outcome.ok or outcome.proof is None:
        return _refused(outcome)
    return _exchange(verifier, grant, outcome.proof, secret, phone)


def _exchange(verifier: Verifier, grant: Grant, proof: str, secret: str, phone: PhoneNumber) -> Redeemed | Refusal:
    foreseen = verifier.foresee(proof, [secret], grant.purposes)
    if foreseen is None or foreseen.phone != phone:
        return INVALID_GRANT
    return verifier.redeem(proof, [secret], grant.purposes) or INVALID_GRANT


def _refused(outcome: Outcome) -> Refusal:
    match outcome.reason:
        case Reason.MALFORMED_CODE:
            return _malformed(f"{CODE} is not the digits of a code of this length.")
        case Reason.TOO_MANY_REQUESTS:
            detail = "Too many wrong codes. Nothing was checked. Try again later."
            return Refusal("temporarily_unavailable", detail, 429, outcome.retry_after or timedelta(hours=1))
        case Reason.PROVIDER_UNAVAILABLE:
            return Refusal("temporarily_unavailable", "The provider could not check the code.", 503, _RETRY)
        case _:
            return INVALID_GRANT


def _malformed(description: str) -> Refusal:
    return Refusal("invalid_request", description)
