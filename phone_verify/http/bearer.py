"""Tokens of the site: the one in the header `Authorization`, and the one that a proof is exchanged for.

The site makes its tokens and decides which are valid. A request that presents one is judged by it
alone: the session cookie of the same request is not read.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

from ..errors import ConfigurationError, StoreError
from ..phone import PhoneNumber
from ..verifier.blocking import Verifier
from .session_time import age_of
from .site import Site

log = logging.getLogger("phone_verify")

#: Browsers send these by themselves, also in requests that another site made: they do not count as tokens.
_SENT_BY_BROWSERS = ("basic", "digest", "negotiate", "ntlm")
#: What the text of an access key begins with.
KEY_PREFIX = "pv_"
_VISIBLE = re.compile(r"[!-~]+\Z", re.ASCII)
#: The user, and when the user signed in.
_PAIR = 2
#: Shorter texts in a mapping, like a `token_type`, are not tokens; more than four are not expected.
_SHORTEST, _MOST = 16, 4


def token_of(authorization: str | None) -> str | None:
    """Return the token in this value of the header `Authorization`.

    None without the header, or if its scheme is one that browsers use by themselves. Empty if the
    rest cannot be a token.
    """
    scheme, _, rest = (authorization or "").strip().partition(" ")
    if not scheme or scheme.lower() in _SENT_BY_BROWSERS:
        return None
    token = rest.strip()
    return token if _VISIBLE.match(token) else ""


def presented_key(site: Site, headers: Mapping[str, str]) -> str | None:
    """Return the text of the access key that a request presents; None without one, or if the site has no keys.

    Header names are lower case. The site's own tokens can begin in the same way only on a site
    without keys.
    """
    if site.verifier.flows.keys is None:
        return None
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    text = rest.strip()
    return text if scheme.lower() == "bearer" and text.startswith(KEY_PREFIX) else None


def user_and_age(found: object) -> tuple[object | None, timedelta | None]:
    """Return the user that the site's `user_for_token` returned, and the time since that user signed in.

    It returns the user, or the user and the time of the sign-in in whole seconds since 1970, as in
    the claim `auth_time`; None refuses the token. The age of a time that is missing or not valid is
    None.
    """
    if not isinstance(found, tuple):
        return found, None
    if len(found) != _PAIR:
        raise ConfigurationError(
            f"user_for_token returned {len(found)} values", "Return the user, (user, auth_time), or None to refuse."
        )
    return found[0], age_of(found[1])


def checked_token(token: object) -> str | Mapping[str, object]:
    """Return what the site's function made, if a response can hold it. Raises `ConfigurationError`."""
    if token and isinstance(token, str):
        return token
    if token and isinstance(token, Mapping):
        try:
            copied: Mapping[str, object] = json.loads(json.dumps(dict(token)))
        except (TypeError, ValueError):
            raise ConfigurationError(
                "the function for tokens returned a mapping that is not JSON", "Return texts and numbers in it."
            ) from None
        return copied
    raise ConfigurationError(
        f"the function for tokens returned {type(token).__name__ if token else 'nothing'}",
        "Return the token as a text, or a mapping like {'access': …, 'refresh': …}.",
    )


def note_sign_in(verifier: Verifier, token: str | Mapping[str, object], user_id: str, phone: PhoneNumber) -> None:
    """Note that this number has just signed the user in, for the tokens issued for it.

    If the store does not answer, the user verifies the number again before changing it.
    """
    try:
        for text in _texts(token):
            verifier.note_token_check(text, user_id, phone)
    except StoreError as error:
        log.warning("the store did not note the verification of a token's user: %s", error)


def _texts(token: str | Mapping[str, object]) -> Sequence[str]:
    if isinstance(token, str):
        return [token]
    return [value for value in token.values() if isinstance(value, str) and len(value) >= _SHORTEST][:_MOST]
