"""The JSON API and the flow of the pages, as plain functions from value to value.

An adapter turns its request into a `Call`, hands it to `handle` (or awaits `ahandle`), and turns the `Reply` into
its response. Where the answer is a `SignIn`, `SetPhone` or `SignOut`, it does that in its own framework's way and
asks `signed_in`, `phone_set`, `signed_out` or one of the refusals for the reply.
"""

from ..http.call import (
    BODY_LIMIT,
    WEBHOOK_LIMIT,
    Answer,
    AskSite,
    Call,
    Reply,
    SessionUser,
    SetPhone,
    SignIn,
    SignOut,
)
from ..http.cookies import known_cookie
from ..http.site import Site
from .routes import ahandle, answered, asks_who, body_limit, handle
from .session import invalid_proof, mfa_required, newcomer, phone_set, phone_taken, refused, signed_in, signed_out

__all__ = [
    "BODY_LIMIT",
    "WEBHOOK_LIMIT",
    "Answer",
    "AskSite",
    "Call",
    "Reply",
    "SessionUser",
    "SetPhone",
    "SignIn",
    "SignOut",
    "Site",
    "ahandle",
    "answered",
    "asks_who",
    "body_limit",
    "handle",
    "invalid_proof",
    "known_cookie",
    "mfa_required",
    "newcomer",
    "phone_set",
    "phone_taken",
    "refused",
    "signed_in",
    "signed_out",
]
