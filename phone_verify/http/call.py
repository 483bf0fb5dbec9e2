"""A request and a response, independent of any framework."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from ..exchange import TEXT
from ..i18n.languages import ENGLISH, named, preferred
from ..i18n.texts import Texts, texts_in
from ..model import Redeemed, value_class

if TYPE_CHECKING:
    from ..keys.access_key import AccessKey

_json = json.JSONEncoder(ensure_ascii=False).encode
BODY_LIMIT = 16 * 1024
WEBHOOK_LIMIT = 64 * 1024


@value_class
class SessionUser:
    """The signed-in user: the site's id as text, and the primary number in E.164 if known.

    `numbers` are all of the user's numbers, if the site allows several.
    """

    id: str
    phone: str | None = field(repr=False)
    numbers: Sequence[str] = field(default=(), repr=False)


@value_class
class ApiRequest:
    """One request under the mount point.

    `path` is what follows the mount, percent-decoded, without a leading slash; header names are
    lower case; a `body` of None was longer than `body_limit(path)` allows; `cookie` holds the
    verifications that this browser started, `device_cookie` its trusted-device token; `peer` is the
    address of the connection, `user` the signed-in user, `signed_in_for` the time since sign-in
    (None if unknown); `multiprocess` is the WSGI server's flag of that name; `language` is the tag
    of the language in which the site addresses this visitor, None if the browser decides; `client`
    the id of the OAuth client whose own token it has, empty without one. `access_key` is the key of
    another program: the core sets it, and all that a browser sends is then left out.

    Of the session: `has_session` is whether there is one, `started` holds the ids of the
    verifications that it started, `not_entered` those of them whose number was not entered in it,
    and `proved_for` the time since its user verified one of the current numbers in it; if
    `present_counts` is false, verifying one now would not count in this session. `asks_without_old`
    is whether the site has a rule for users who have lost their number, `without_old` the result of
    that rule for this call; None before it was called.

    `token` is the token that the request presents, if the site accepts tokens: it decides alone who
    the `user` is, and no session is read. It is empty if it cannot be valid, and None without one.
    `issues_tokens` is whether the site exchanges proofs for tokens.

    `can_stream` is whether the adapter can send an `ApiStream`; otherwise no call returns one.

    Of the form or the body: `extra` are the fields for the site's `before_send`, `top` the origin of
    the page that shows ours in a frame, as the page's script reports it.
    """

    method: str
    path: str = field(repr=False)  # that of a webhook contains its secret
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    body: bytes | None = field(default=b"", repr=False)
    cookie: str = field(default="", repr=False)
    device_cookie: str = field(default="", repr=False)
    peer: str | None = None
    user: SessionUser | None = None
    signed_in_for: timedelta | None = None
    multiprocess: bool = False
    language: str | None = None
    client: str = ""
    access_key: AccessKey | None = None
    has_session: bool = False
    started: Sequence[str] = ()
    not_entered: Sequence[str] = ()
    proved_for: timedelta | None = None
    present_counts: bool = False
    asks_without_old: bool = False
    without_old: bool | None = None
    token: str | None = field(default=None, repr=False)
    issues_tokens: bool = False
    can_stream: bool = False
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    top: str = ""

    @property
    def key_id(self) -> str:
        """The id of the access key; empty without one."""
        return self.access_key.id if self.access_key is not None else ""

    @property
    def texts(self) -> Texts:
        """Our texts in the site's language, or else in the browser's preferred one."""
        if self.language is not None:
            return texts_in(named(self.language) or ENGLISH)
        return texts_in(preferred(self.headers.get("accept-language", "")))


@value_class
class ApiResponse:
    """The response: JSON in `document`, or `text` of `text_type`.

    `cookie` and `device_cookie` are our new values, or None. `started` are the ids to store in the
    session; None leaves the session unchanged.
    """

    status: int
    document: Mapping[str, object] | None = field(default=None, repr=False)
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookie: str | None = field(default=None, repr=False)
    device_cookie: str | None = field(default=None, repr=False)
    started: Sequence[str] | None = None
    text_type: str = TEXT

    @property
    def content_type(self) -> str | None:
        """The media type of the body, or None without one."""
        if self.document is not None:
            return "application/problem+json" if self.status >= 400 else "application/json"
        return self.text_type if self.text is not None else None

    @property
    def content(self) -> bytes | None:
        """The body, or None without one."""
        text = self.text if self.document is None else _json(self.document)
        return None if text is None else text.encode()

    @property
    def all_headers(self) -> Mapping[str, str]:
        """The headers, with the media type of the body unless they name one, and those that every response has."""
        kind = {"Content-Type": self.content_type} if self.content_type is not None else {}
        return {"Cache-Control": "no-store", **kind, **self.headers, "X-Content-Type-Options": "nosniff"}

    def uncached(self) -> ApiResponse:
        """Return this response with a header that forbids caching, unless it has one for that."""
        headers = {"Cache-Control": "no-store", **self.headers}
        # `dataclasses.replace` takes six times as long.
        return ApiResponse(
            self.status,
            self.document,
            self.text,
            headers,
            self.cookie,
            self.device_cookie,
            self.started,
            self.text_type,
        )


class Chunks(Protocol):
    """The parts of a body, each to be sent when it comes."""

    def __aiter__(self) -> Chunks: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Release what the stream holds. Must be called if the client disconnects, even before the first part."""
        ...


@value_class
class ApiStream:
    """A response with status 200 whose body arrives over time, in the site's event loop."""

    chunks: Chunks = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@value_class
class SignIn:
    """The proof was redeemed: the adapter signs this phone's user in and replies with `signed_in`.

    `remember` is the visitor's choice about staying signed in on this device; None if the form had
    no such choice.
    """

    redeemed: Redeemed
    remember: bool | None = None


@value_class
class IssueToken:
    """The proof was redeemed: the adapter makes this phone's user a token and replies with `token_issued`.

    The rules are those of `SignIn`. No session begins.
    """

    redeemed: Redeemed


@value_class
class SetPhone:
    """The proof was redeemed: the adapter gives the user this phone.

    It replies with `phone_updated` or `phone_conflict`.
    """

    redeemed: Redeemed


@value_class
class AskSite:
    """The current number was not verified: the site's rule for lost numbers decides.

    No proof is consumed. The adapter calls that rule, and then handles the same call again with
    `ApiRequest.without_old` set.
    """

    redeemed: Redeemed


@value_class
class SignOut:
    """The adapter signs the user out and replies with `signed_out`."""


#: The result of a call: a response, or what the adapter must do before there is one.
ApiResult = ApiResponse | ApiStream | SignIn | IssueToken | SetPhone | AskSite | SignOut
