"""Requests to the pages of staff, and what they answer, as every framework sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import Any

from ..errors import ConfigurationError
from ..i18n.languages import ENGLISH, Language
from ..reports.base import Aggregates


class Right(StrEnum):
    """What staff may do; the adapter decides who may."""

    VIEW = "view"  #: see services, accounts and caps
    ADD = "add"  #: create services
    CHANGE = "change"  #: change services
    DELETE = "delete"  #: delete services
    KEYS = "keys"  #: create and revoke access keys
    PAY = "pay"  #: top up accounts
    DELIVERIES = "deliveries"  #: see deliveries of webhooks
    RESEND = "resend"  #: send them again, test and enable endpoints
    TEST = "test"  #: send tests
    REPORTS = "reports"  #: see reports and download them


def no_aggregates() -> Aggregates:
    """Raise `ConfigurationError`: this request has no reports."""
    raise ConfigurationError("this page has no reports")


@dataclass(frozen=True, slots=True)
class StaffCall:
    """A request to a page of staff.

    `path` is below the mount, without a leading slash; `author` names who acts, for the records;
    `session` keeps the current test; `note` receives each change in words and the name of what changed.
    `zone` is the time zone of the user; `aggregates` opens what reports are made from.
    """

    method: str
    path: str
    may: Callable[[Right], bool]
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    language: Language = ENGLISH
    author: str = ""
    session: MutableMapping[str, Any] = field(default_factory=dict, repr=False)
    address: str | None = None
    zone: tzinfo = UTC
    note: Callable[[str, str], object] = field(default=lambda _what, _name: None, repr=False)
    aggregates: Callable[[], Aggregates] = field(default=no_aggregates, repr=False)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_post(self) -> bool:
        """Whether a form was sent."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class Page:
    """A page to render: the template, the key of its title and of its part, and its values."""

    template: str
    title: str
    part: str
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    status: int = 200
    #: What the title is about, like the name of a service.
    about: str = ""
    #: Pages between the part and this one: the path and the text of each.
    above: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """A file to send; its bytes are made while they are sent."""

    headers: Mapping[str, str]
    chunks: Iterable[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect to a page of staff, with the key of the message that it shows, and the query of the address."""

    path: str
    message: str = ""
    is_error: bool = False
    detail: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


#: What a request gets.
Answer = Page | File | Redirect


class RefusedError(Exception):
    """The page does not exist (404), or may not be used by this user (403), by this method (405)
    or with such a field (400).
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def require(call: StaffCall, right: Right) -> None:
    """Raise `RefusedError` unless the user has this right."""
    if not call.may(right):
        raise RefusedError(403)


def text_of(fields: Mapping[str, str], name: str, longest: int = 200) -> str:
    """Return a field of a form or a query.

    Raises `RefusedError` for one that no browser sends: it must not be taken for an empty one.
    """
    text = fields.get(name, "")
    if len(text) > longest or "\0" in text:
        raise RefusedError(400)
    return text.strip()


def above_service(name: str) -> Sequence[tuple[str, str]]:
    """Return the page of a service, for the pages below it."""
    return [(f"services/{name}/", name)]
