"""What a page shows after the redirect that answered its form: kept in the session, and read once.

A message belongs to one page (for `code/`, of one verification), so that the page of another tab
does not show it. It never holds a code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from ..http.session_notes import MESSAGES, Session
from ..model import Channel

#: The pages under the mount, by their names in redirects and templates.
PageName = Literal["login", "code", "verify", "logout", "signup"]
#: Tabs whose message was not read yet. A session can be a cookie, which holds 4 KB.
_MOST = 5
_LONGEST_PHONE = 64
#: The errors of a site's own form can repeat what was typed.
LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Message:
    """An `error` or a `notice` for the page of this name, and what was typed there.

    `id` is the verification of the page `code`. `invalid` marks the page's field. `blocked` is
    whether no code of the number is compared for a time. `form` is the adapter's: the fields of a
    form that the site has extended.
    """

    page: PageName
    id: str = ""
    error: str = ""
    notice: str = ""
    invalid: bool = False
    blocked: bool = False
    phone: str = field(default="", repr=False)
    channel: str = ""
    remember: bool = True
    form: Mapping[str, Any] | None = field(default=None, repr=False)


_NAMES = frozenset(each.name for each in fields(Message))


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages in one session; the key starts with `prefix`."""

    session: Session = field(repr=False)
    prefix: str = "phone_verify_"

    def keep(self, message: Message) -> None:
        """Keep the message until its page is shown. It replaces an unread one of that page."""
        others = [kept for kept in self._all if (kept.page, kept.id) != (message.page, message.id)]
        channel = message.channel if message.channel in set(Channel) else ""
        message = replace(
            message, error=message.error[:LONGEST_ERROR], phone=message.phone[:_LONGEST_PHONE], channel=channel
        )
        self._save([*others[1 - _MOST :], message])

    def take(self, page: PageName, id: str = "") -> Message | None:
        """Return the message of this page, and remove it."""
        kept = self._all
        found = next((message for message in kept if (message.page, message.id) == (page, id)), None)
        if found is not None:
            self._save([message for message in kept if message is not found])
        return found

    def _save(self, messages: Sequence[Message]) -> None:
        if messages:
            self.session[f"{self.prefix}{MESSAGES}"] = [asdict(message) for message in messages]
        else:
            self.session.pop(f"{self.prefix}{MESSAGES}", None)

    @property
    def _all(self) -> Sequence[Message]:
        kept = self.session.get(f"{self.prefix}{MESSAGES}", None)
        # A session can be older than this version, and its messages can have other fields.
        return [Message(**entry) for entry in kept if entry.keys() == _NAMES] if isinstance(kept, list) else []
