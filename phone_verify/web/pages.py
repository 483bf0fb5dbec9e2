"""The values of each page: an adapter passes one to the template of its name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import ClassVar, Literal
from urllib.parse import urlencode

from ..i18n.languages import ENGLISH, Language
from ..i18n.texts import Texts, example_number, texts_in
from ..model import Channel
from ..phone.formats import calling_code_of
from ..policy import Policy
from .messages import Message, PageName

_CALLS = frozenset({Channel.FLASH_CALL.value, Channel.INBOUND_CALL.value})
_TITLES = {
    "flash_call": "code_title_flash_call",
    "inbound_call": "code_title_inbound_call",
    "proven": "title_verified",
    "more": "more_title",
}
#: The headings of pages on which the verification cannot go on, by `CodePage.state`.
_STATE_TITLES = {
    "expired": "title_expired",
    "exhausted": "title_exhausted",
    "verified": "title_verified",
    "cancelled": "title_cancelled",
    "failed": "title_failed",
    "blocked": "title_blocked",
    "unavailable": "title_unavailable",
}
#: Of the numbers that North America keeps for examples.
_NEUTRAL_EXAMPLE = "+1 201-555-0123"
#: Fewer digits are no complete number of any country.
_FEWEST_DIGITS = 7
#: Remaining seconds at which screen readers announce the countdown.
_ANNOUNCED = (60, 30)


@dataclass(frozen=True, slots=True)
class Choice:
    """A channel to choose; `time` is how long a code of it usually takes."""

    value: str
    label: str
    chosen: bool
    help: str = ""
    time: str = ""
    recommended: bool = False


@dataclass(frozen=True, slots=True)
class NumberHelp:
    """How to write a number: an `example`, in national form of `region` if `local`.

    `abroad` is whether numbers of other countries are accepted. `country` is the region that a list
    of countries shows first, `calling_code` is its own.
    """

    example: str = _NEUTRAL_EXAMPLE
    local: bool = False
    abroad: bool = True
    region: str = ""
    country: str = ""
    calling_code: str = ""


def number_help(policy: Policy, language: Language, regions: Sequence[str]) -> NumberHelp:
    """Return how visitors of this language write a number of the `regions` that the site serves.

    The example is of the site's region, else of a served region (the language's if it is one of
    them), else of the language's.
    """
    own = policy.region
    likely = own or (language.region if not regions or language.region in regions else regions[0])
    example = example_number(likely, national=bool(own))
    shown = NumberHelp(
        example or _NEUTRAL_EXAMPLE,
        abroad=any(region != likely for region in regions),
        country=likely,
        calling_code=calling_code_of(likely),
    )
    return replace(shown, local=True, region=own) if own and example else shown


def channel_choice(
    texts: Texts, channel: Channel, *, announced: bool = False, chosen: bool = False, recommended: bool = False
) -> Choice:
    """Return a channel as visitors choose it; `announced` is of a line that an announcement answers."""
    help = texts.announced_help if announced else texts.channel_help[channel]
    label, time = texts.channels[channel], texts.usual_time(channel)
    return Choice(channel.value, label, chosen, help, time, recommended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The fields of every page.

    `invalid` is whether the `error` concerns what was typed into the page's field. `status`,
    `headers` and `cookie` are the response's, `started` is the session's.
    """

    texts: Texts = field(default_factory=lambda: texts_in(ENGLISH), repr=False)
    next: str = ""
    error: str = ""
    notice: str = ""
    invalid: bool = False
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cookie: str | None = field(default=None, repr=False)
    started: Sequence[str] | None = None

    @property
    def text(self) -> Mapping[str, str]:
        """The texts that templates use by name."""
        return self.texts.page

    @property
    def query(self) -> str:
        """Return the query of this page's own address."""
        return _with_query("", {"next": self.next})

    @property
    def refusal_title(self) -> str:
        """Return the heading of a page that only says why a request was refused."""
        titles = {404: "not_found_title", 405: "title_unavailable", 503: "title_unavailable"}
        return self.text[titles.get(self.status, "refused_title")]

    @property
    def language(self) -> Language:
        """The language of the page."""
        return self.texts.language


@dataclass(frozen=True, slots=True)
class LogoutPage(Page):
    """The page that confirms signing out."""


@dataclass(frozen=True, slots=True)
class LastNumber:
    """The number of the last sign-in on this device, masked, and the channel on which it is verified."""

    hint: str
    choice: Choice


@dataclass(frozen=True, slots=True)
class LoginPage(Page):
    """The page for entering the number.

    `state` is `enter`, or why there is nothing to enter: `signed_in`, or on the `verify` page
    `verified`. `user_hint` is the masked number of a visitor who is signed in. `last` is the number
    of the last sign-in on this device; with `another` the visitor is entering another one.
    """

    choices: Sequence[Choice]
    phone: str = field(default="", repr=False)
    configured: bool = True
    number: NumberHelp = NumberHelp()
    state: str = "enter"
    user_hint: str = ""
    last: LastNumber | None = None
    another: bool = False
    _lead_call: ClassVar[str] = "login_lead_call"

    @property
    def lead(self) -> str:
        """Return the text below the heading; it promises a code only if every channel has one."""
        return self.text[self._lead_call if _CALLS.intersection(c.value for c in self.choices) else "login_lead"]

    def invalid_number(self, typed: str) -> str:
        """Return the error for this text in the number field.

        It names what is missing if enough digits for a number were typed without `+`.
        """
        if self.number.local or "+" in typed or sum(map(str.isdecimal, typed)) < _FEWEST_DIGITS:
            return self.text["invalid_phone"]
        return self.texts.start_with_plus(self.number.example)

    @property
    def several(self) -> bool:
        """Whether there is more than one channel to choose from."""
        return len(self.choices) > 1

    @property
    def refused(self) -> bool:
        """Whether the error concerns the number that was entered."""
        return self.invalid


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


@dataclass(frozen=True, slots=True)
class SignOutOthers:
    """The adapter ends the user's other sessions and shows `flow.signed_out_others`."""


@dataclass(frozen=True, slots=True)
class CodePage(Page):
    """The page for entering the code, or for the number to call.

    `kind` is `code`, `flash_call`, `inbound_call`, `more` (verified, and `choices` are the channels
    that are required as well), `proven` (only a button is left to press) or `over`. `state` is
    `sent`, or why the page has ended: `expired`, `exhausted`, `verified`, `cancelled`,
    `failed`, `blocked` or `unavailable`. `id` is the verification's: each form of the page sends it
    back as `verification`, so that no other tab's verification is meant. `phone` is the full number
    if this session entered it; otherwise the page shows `phone_hint`. `poll_path` is the API call,
    under the mount, that returns the status. In `moves_in` seconds the script shows the page again, by
    which the order moves to another channel; 0 if it does not. `begun_at` is the page that started the verification.
    `number` is the full number if it would become the user's: such a page requires a confirmation,
    and no script submits it. `asks_remember` puts a box on the page, ticked if `remember`: whether to
    stay signed in on this device. `is_call` is whether the visitor calls, `is_flash_call` whether
    the visitor is called. `second_kind` is the kind of the other method that can verify as well: a
    code's on the page with a number to call, else `inbound_call`. `other_caller` is whether another
    phone has just called that number.
    The phone number is shown between `lead` and `lead_end`. `next_channel` is the channel to offer
    first in `next_channel_in` seconds; with `next_channel_by_itself` the script then sends on it.
    """

    kind: str
    phone_hint: str
    site_name: str
    state: str = "sent"
    id: str = ""
    phone: str = field(default="", repr=False)
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
    moves_in: int = 0
    choices: Sequence[Choice] = ()
    poll_path: str = ""
    begun_at: PageName = "login"
    number: str = field(default="", repr=False)
    asks_remember: bool = False
    remember: bool = True
    is_call: bool = False
    is_flash_call: bool = False
    second_kind: str = ""
    other_caller: bool = False
    next_channel: Choice | None = None
    next_channel_in: int = 0
    next_channel_by_itself: bool = False

    @property
    def title(self) -> str:
        """Return the heading of the page."""
        if self.kind == "over":
            is_call = self.state == "expired" and self.is_call
            return self.text["title_expired_call" if is_call else _STATE_TITLES[self.state]]
        return self.text["change_title" if self.number else _TITLES.get(self.kind, "code_title")]

    @property
    def query(self) -> str:
        """Return the query of this page's own address."""
        return _with_query("", {"verification": self.id, "next": self.next})

    @property
    def renewable(self) -> bool:
        """Whether the page has ended, and can start again for the same number."""
        return self.state in ("expired", "exhausted", "cancelled", "failed")

    @property
    def restart(self) -> str:
        """Return the label of the main button of a page that has ended."""
        if self.renewable:
            label = "new_call" if self.is_call else "resend_flash_call" if self.is_flash_call else "new_code"
            return self.text[label]
        return self.text[{"unavailable": "try_again", "blocked": "other_number"}.get(self.state, "start_again")]

    @property
    def awaits_call(self) -> bool:
        """Whether a call of the visitor would verify the number."""
        return "inbound_call" in (self.kind, self.second_kind)

    @property
    def code_kind(self) -> str:
        """Return the kind of the code field, `code` or `flash_call`; empty for a page without one."""
        return self.second_kind if self.kind == "inbound_call" else self.kind

    @property
    def code_label(self) -> str:
        """Return the label of the code field."""
        return self.text["last_digits"] if self.code_kind == "flash_call" else self.texts.code_label(self.code_length)

    @property
    def announcements(self) -> str:
        """The remaining seconds at which a screen reader announces the time left, with the texts, as JSON.

        Not every second: the countdown itself is silent.
        """
        text = "expires_inbound_call" if self.is_call else "expires"
        said = {left: self.texts.countdown(text, timedelta(seconds=left)) for left in _ANNOUNCED}
        said[0] = self.text["expired_call" if self.is_call else "expired_code"]
        return json.dumps(said, ensure_ascii=False)

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
    """Redirect to the page `to`, with the new cookies, the ids for the session, and `next` kept.

    `id` is the verification that the page `code` shows. `message` is for the session, until its page
    is shown. `onward` leaves our pages: for `next`, or the site's page after a sign-in. With `back`
    the user must sign in first and is then returned to that page. `not_entered` are those of the
    started verifications whose number was not entered in this session.
    """

    to: PageName | Literal["onward"]
    next: str = ""
    cookie: str | None = field(default=None, repr=False)
    back: PageName | None = None
    started: Sequence[str] | None = None
    id: str = ""
    message: Message | None = None
    not_entered: Sequence[str] | None = None
    device_cookie: str | None = field(default=None, repr=False)

    def address(self, urls: Mapping[str, str]) -> str:
        """Return the URL to redirect to.

        `urls` holds those of the pages, the site's own sign-in page as `sign_in`, if any, and its
        page after a sign-in as `onward`.
        """
        if self.to == "onward":
            return self.next or urls["onward"]
        if self.back is None:
            return _with_query(urls[self.to], {"verification": self.id, "next": self.next})
        back = _with_query(urls[self.back], {"next": self.next})
        return _with_query(urls.get("sign_in") or urls[self.to], {"next": back})


def _with_query(address: str, fields: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"{address}{'&' if '?' in address else '?'}{query}" if query else address
