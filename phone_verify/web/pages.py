"""The values of each page: an adapter passes one to the template of its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from urllib.parse import urlencode

from ..i18n.languages import ENGLISH, Language
from ..i18n.texts import Texts, texts_in
from ..model import Channel

#: The pages under the mount, by their names in redirects and templates.
PageName = Literal["login", "code", "verify"]
_CALLS = frozenset({Channel.FLASH_CALL.value, Channel.INBOUND_CALL.value})
_TITLES = {
    "flash_call": "code_title_flash_call",
    "inbound_call": "code_title_inbound_call",
    "proven": "verify_number",
    "over": "verify_number",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A channel to choose."""

    value: str
    label: str
    chosen: bool
    help: str = ""


@dataclass(frozen=True, slots=True)
class NumberHelp:
    """How to write a number: an `example`, in national form if `local`.

    `abroad` is whether numbers of other countries are accepted.
    """

    example: str = "+98 912 000 0000"
    local: bool = False
    abroad: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The fields of every page.

    `status`, `headers` and `cookie` are the response's, `started` is the session's.
    """

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
        """The texts that templates use by name."""
        return self.texts.page

    @property
    def language(self) -> Language:
        """The language of the page."""
        return self.texts.language


@dataclass(frozen=True, slots=True)
class LogoutPage(Page):
    """The page that confirms signing out."""


@dataclass(frozen=True, slots=True)
class LoginPage(Page):
    """The page for entering the number."""

    choices: Sequence[Choice]
    phone: str = field(default="", repr=False)
    configured: bool = True
    number: NumberHelp = NumberHelp()
    _lead_call: ClassVar[str] = "login_lead_call"

    @property
    def lead(self) -> str:
        """Return the text below the heading; it promises a code only if every channel has one."""
        return self.text[self._lead_call if _CALLS.intersection(c.value for c in self.choices) else "login_lead"]

    @property
    def several(self) -> bool:
        """Whether there is more than one channel to choose from."""
        return len(self.choices) > 1

    @property
    def refused(self) -> bool:
        """Whether the error concerns the number that was entered."""
        return bool(self.error)


@dataclass(frozen=True, slots=True)
class VerifyPage(LoginPage):
    """The page on which a signed-in user confirms the current number or enters another one.

    `phone_hint` is the current number's, empty for a user without one. Without `may_change` no
    other number can be entered: the user verifies the current number first, or with `must_sign_in`
    signs in again. Without `may_confirm` verifying the current number would not lead to `next`.
    """

    phone_hint: str = ""
    may_change: bool = True
    must_sign_in: bool = False
    may_confirm: bool = True
    _lead_call: ClassVar[str] = "verify_lead_call"

    @property
    def refused(self) -> bool:
        """Whether the error concerns a number that was entered, and not the current one."""
        has_field = self.configured and self.may_change
        return bool(self.error) and has_field and (bool(self.phone) or not self.phone_hint)


@dataclass(frozen=True, slots=True)
class SignOutOthers:
    """The adapter ends the user's other sessions and shows `flow.signed_out_others`."""


@dataclass(frozen=True, slots=True)
class CodePage(Page):
    """The page for entering the code, or for the number to call.

    `kind` is `code`, `flash_call`, `inbound_call`, `proven` (only a button is left to press) or
    `over`. `poll_path` is the API call, under the mount, that returns the status. `begun_at` is the
    page that started the verification. `number` is the full number if it would become the user's:
    such a page requires a confirmation, and no script submits it. `asks_remember` puts a box on the
    page, ticked if `remember`: whether to stay signed in on this device.
    The phone number is shown between `lead` and `lead_end`.
    """

    kind: str
    phone_hint: str
    site_name: str
    lead: str = ""
    lead_end: str = ""
    code_length: int | None = None
    caller_hint: str | None = None
    dial: Mapping[str, str] | None = None
    dial_spoken: str = ""
    dial_help: str = ""
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
    def title(self) -> str:
        """Return the heading of the page."""
        return self.text["change_title" if self.number else _TITLES.get(self.kind, "code_title")]

    @property
    def caller_help(self) -> str:
        """Return which digits of the calling number to enter."""
        return self.texts.last_digits(self.code_length)

    @property
    def code_places(self) -> range:
        """One item for each digit of the code: templates can repeat, but not count."""
        return range(self.code_length or 0)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Redirect to the page `to`, with the new cookie, the ids for the session, and `next` kept.

    With `back` the user must sign in first and is then returned to that page.
    """

    to: PageName
    next: str = ""
    cookie: str | None = field(default=None, repr=False)
    back: PageName | None = None
    started: Sequence[str] | None = None

    def address(self, urls: Mapping[str, str]) -> str:
        """Return the URL to redirect to.

        `urls` holds those of the pages, and the site's own sign-in page as `sign_in`, if any.
        """
        if self.back is None:
            return _with_next(urls[self.to], self.next)
        return _with_next(urls.get("sign_in") or urls[self.to], _with_next(urls[self.back], self.next))


def _with_next(address: str, next: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'next': next})}" if next else address
