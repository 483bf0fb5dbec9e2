"""What each page shows, as values: an adapter hands one to the template of its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from ..i18n.languages import ENGLISH, Language
from ..i18n.texts import Texts, texts_in

#: The pages under the mount, by the names that redirects and templates have for them.
PageName = Literal["login", "code", "verify"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A channel to choose."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class NumberHelp:
    """How a number is written here: an `example`, in national form if `local`, and whether others are `abroad`."""

    example: str = "+98 912 000 0000"
    local: bool = False
    abroad: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every page has: `status`, `headers` and `cookie` are the response's, `started` is the session's."""

    texts: Texts = field(default_factory=lambda: texts_in(ENGLISH), repr=False)
    next: str = ""
    error: str = ""
    notice: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cookie: str | None = field(default=None, repr=False)
    started: Sequence[str] | None = None

    @property
    def text(self) -> Mapping[str, str]:
        """The texts that templates name."""
        return self.texts.page

    @property
    def language(self) -> Language:
        """The language of the page."""
        return self.texts.language


@dataclass(frozen=True, slots=True)
class LogoutPage(Page):
    """Where signing out is confirmed."""


@dataclass(frozen=True, slots=True)
class LoginPage(Page):
    """Where the number is typed."""

    choices: Sequence[Choice]
    phone: str = field(default="", repr=False)
    configured: bool = True
    number: NumberHelp = NumberHelp()

    @property
    def several(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.choices) > 1

    @property
    def refused(self) -> bool:
        """Whether the error is about the number that was typed."""
        return bool(self.error)


@dataclass(frozen=True, slots=True)
class VerifyPage(LoginPage):
    """Where somebody who is signed in confirms the own number, or types another one.

    `phone_hint` is the current number's, empty for a user without one. Without `may_change` no other number can be
    entered: the user verifies the current number first, or with `must_sign_in` signs in again. Without `may_confirm`
    verifying the current number would not lead to `next`.
    """

    phone_hint: str = ""
    may_change: bool = True
    must_sign_in: bool = False
    may_confirm: bool = True

    @property
    def refused(self) -> bool:
        """Whether the error is about a number that was typed, and not about the own one."""
        has_field = self.configured and self.may_change
        return bool(self.error) and has_field and (bool(self.phone) or not self.phone_hint)


@dataclass(frozen=True, slots=True)
class SignOutOthers:
    """The adapter ends every other session of the signed-in user, and shows `pages.signed_out_others`."""


@dataclass(frozen=True, slots=True)
class CodePage(Page):
    """Where the code is typed, or the number to call is shown.

    `kind` is `code`, `flash_call`, `inbound_call`, `proven` (only a button is left to press) or `over`. `poll_path` is
    the API call, under the mount, that tells how the verification stands. `begun_at` is the page where it was begun.
    `number` is the number in full where it would become the user's: such a page asks, and no script submits it.
    `asks_remember` puts a box on the page, ticked if `remember`: whether to stay signed in on this device.
    """

    kind: str
    phone_hint: str
    site_name: str
    lead: str = ""
    code_length: int | None = None
    caller_hint: str | None = None
    dial: Mapping[str, str] | None = None
    dial_spoken: str = ""
    expires_in: int = 0
    expires_text: str = ""
    resend_in: int = 0
    resend_text: str = ""
    choices: Sequence[Choice] = ()
    poll_path: str = ""
    begun_at: PageName = "login"
    number: str = field(default="", repr=False)
    asks_remember: bool = False
    remember: bool = True

    @property
    def code_places(self) -> range:
        """One item for each digit that is asked for: templates can repeat, but not count."""
        return range(self.code_length or 0)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go to the page `to`, with the new cookie, the ids that the session notes, and `next` kept.

    With `back` it is somebody who must sign in first: afterwards that page is where they wanted to go.
    """

    to: PageName
    next: str = ""
    cookie: str | None = field(default=None, repr=False)
    back: PageName | None = None
    started: Sequence[str] | None = None

    def address(self, urls: Mapping[str, str]) -> str:
        """The address to go to; `urls` has those of the pages, and as `sign_in` the site's own sign-in page, if any."""
        if self.back is None:
            return _with_next(urls[self.to], self.next)
        return _with_next(urls.get("sign_in") or urls[self.to], _with_next(urls[self.back], self.next))


def _with_next(address: str, next: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'next': next})}" if next else address
