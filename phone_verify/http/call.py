"""A request and an answer, without a framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ..i18n.languages import ENGLISH, named, preferred
from ..i18n.texts import Texts, texts_in
from ..model import Redeemed

BODY_LIMIT = 16 * 1024
WEBHOOK_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class SessionUser:
    """The signed-in user: the site's id as text, and the primary number in E.164 where the site knows it.

    `numbers` are all of the user's numbers, where the site lets users have several.
    """

    id: str
    phone: str | None = field(repr=False)
    numbers: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request under the mount point.

    `path` is what follows the mount, percent-decoded, without a leading slash; header names are lower case; `body` is
    None when it is longer than `body_limit(path)` allows; `cookie` holds what this browser began, `device_cookie` that
    it has signed in before; `peer` is the address of the connection, `user` who is
    signed in, `signed_in_for` since when (None where nobody can tell); `multiprocess` is what WSGI says of the
    server; `language` is the tag of the language in which the site itself speaks to this visitor, None where it leaves
    that to the browser.

    Of the session: `has_session` says whether there is one, `started` holds the ids of the verifications that it
    started, and `proved_for` how long ago its user verified one of the present numbers in it; where `present_counts`
    is false, verifying one now would not count in this session. `asks_without_old` says whether the site has a rule for
    users who have lost their number, `without_old` what that rule has answered for this call; None before it was asked.
    """

    method: str
    path: str = field(repr=False)  # a webhook's holds its secret
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
    has_session: bool = False
    started: Sequence[str] = ()
    proved_for: timedelta | None = None
    present_counts: bool = False
    asks_without_old: bool = False
    without_old: bool | None = None

    @property
    def texts(self) -> Texts:
        """Our texts in the site's language, or else in the one that the browser likes best."""
        if self.language is not None:
            return texts_in(named(self.language) or ENGLISH)
        return texts_in(preferred(self.headers.get("accept-language", "")))


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The answer: JSON in `document`, or `text`; `cookie` and `device_cookie` are new values of ours, or None.

    `started` are the ids that the session notes from now on; None leaves them.
    """

    status: int
    document: Mapping[str, object] | None = field(default=None, repr=False)
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookie: str | None = field(default=None, repr=False)
    device_cookie: str | None = field(default=None, repr=False)
    started: Sequence[str] | None = None

    @property
    def content_type(self) -> str | None:
        """The media type of the body, or None without one."""
        if self.document is not None:
            return "application/problem+json" if self.status >= 400 else "application/json"
        return "text/plain; charset=utf-8" if self.text is not None else None


@dataclass(frozen=True, slots=True)
class SignIn:
    """The proof is good and burnt: the adapter signs this phone's user in, and answers by `signed_in`.

    `remember` is what the visitor answered to staying signed in on this device; None where nobody asked.
    """

    redeemed: Redeemed
    remember: bool | None = None


@dataclass(frozen=True, slots=True)
class SetPhone:
    """The proof was redeemed: give the user this phone; reply by `phone_updated` or `phone_conflict`."""

    redeemed: Redeemed


@dataclass(frozen=True, slots=True)
class AskSite:
    """The present number was not verified: the site's rule for lost numbers decides. Nothing is burnt.

    The adapter asks that rule, and answers the same call again with `ApiRequest.without_old` set.
    """

    redeemed: Redeemed


@dataclass(frozen=True, slots=True)
class SignOut:
    """The adapter signs the user out, and answers by `signed_out`."""


#: What a call comes to: a reply, or what the adapter must do before there is one.
ApiResult = ApiResponse | SignIn | SetPhone | AskSite | SignOut
