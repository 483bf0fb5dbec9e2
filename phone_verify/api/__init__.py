"""The JSON API, as plain functions from request to result.

An adapter turns its request into an `ApiRequest`, passes it to `handle` (or awaits `ahandle`), and
turns the `ApiResponse` into its response. If the result is a `SignIn`, `IssueToken`, `SetPhone` or
`SignOut`, the adapter carries that out with its framework, and gets the response from
`session_created`, `token_issued`, `phone_updated`, `signed_out` or one of the refusals. An
`ApiStream` comes only if the request has `can_stream` set. The adapter adds `cors_headers` to every
response.
"""

from ..http.call import (
    BODY_LIMIT,
    WEBHOOK_LIMIT,
    ApiRequest,
    ApiResponse,
    ApiResult,
    ApiStream,
    AskSite,
    IssueToken,
    SessionUser,
    SetPhone,
    SignIn,
    SignOut,
)
from ..http.cookies import device_cookie
from ..http.site import Site
from .cors import cors_headers
from .routes import accepts_client, ahandle, body_limit, dispatch, for_program, handle, needs_user
from .session import (
    client_refused,
    invalid_proof,
    login_refused,
    mfa_required,
    phone_conflict,
    phone_updated,
    session_created,
    signed_out,
    signup_required,
)
from .token import token_issued

__all__ = [
    "BODY_LIMIT",
    "WEBHOOK_LIMIT",
    "ApiRequest",
    "ApiResponse",
    "ApiResult",
    "ApiStream",
    "AskSite",
    "IssueToken",
    "SessionUser",
    "SetPhone",
    "SignIn",
    "SignOut",
    "Site",
    "accepts_client",
    "ahandle",
    "body_limit",
    "client_refused",
    "cors_headers",
    "device_cookie",
    "dispatch",
    "for_program",
    "handle",
    "invalid_proof",
    "login_refused",
    "mfa_required",
    "needs_user",
    "phone_conflict",
    "phone_updated",
    "session_created",
    "signed_out",
    "signup_required",
    "token_issued",
]
