"""The JSON API and the flow of the pages, as plain functions from value to value.

An adapter turns its request into a `Call`, hands it to `handle`, and turns the `Reply` into its response. Where
the answer is a `SignIn` or `SignOut`, it does that in its own framework's way and asks `signed_in`, `refused` or
`signed_out` for the reply.
"""

from .call import BODY_LIMIT, WEBHOOK_LIMIT, Call, Reply, SessionUser, SignIn, SignOut
from .routes import body_limit, handle
from .session import refused, signed_in, signed_out
from .site import Site

__all__ = [
    "BODY_LIMIT",
    "WEBHOOK_LIMIT",
    "Call",
    "Reply",
    "SessionUser",
    "SignIn",
    "SignOut",
    "Site",
    "body_limit",
    "handle",
    "refused",
    "signed_in",
    "signed_out",
]
