"""Renders pages of staff, within the frame of each framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..http.site import Site
from ..i18n.languages import Language
from ..i18n.staff_texts import STAFF
from ..i18n.texts import texts_in
from ..reports.labels import Labels
from ..reports.numbers import Numbers
from .call import Page, Redirect, StaffCall
from .pages import PART_PATHS, parts_of

if TYPE_CHECKING:
    from jinja2 import Environment

#: Returns the address of a path below the mount, with this query.
Address = Callable[[str, Mapping[str, str]], str]


def render(
    site: Site, call: StaffCall, page: Page, *, frame: str, address: Address, csrf_field: str, **more: Any
) -> str:
    """Return the HTML of a page. `csrf_field` is the HTML of the framework's token; `more` is for the frame."""
    texts, numbers = texts_in(call.language), Numbers(call.language)
    clock = _Clock(call.zone, numbers)

    def url(path: str, /, **query: str) -> str:
        return address(path, query)

    return (
        environment()
        .get_template(f"phone_verify_staff/{page.template}")
        .render(
            frame=f"phone_verify_staff/{frame}",
            t=staff_texts(call.language),
            channel_names=texts.channels,
            language=call.language,
            title=title_of(call.language, page),
            part=page.part,
            parts=parts_of(site, call),
            trail=trail_of(call, page, address),
            url=url,
            csrf=csrf_field,
            time=clock.text,
            clock=clock,
            money=numbers.exact,
            n=numbers,
            labels=Labels(call.language, {}),
            said=texts.fault,
            may=call.may,
            site=site,
            **page.values,
            **more,
        )
    )


def render_parts(site: Site, call: StaffCall, part: str, address: Address) -> str:
    """Return the HTML of the navigation, for a page of the framework's own that is one of its parts."""
    return (
        environment()
        .get_template("phone_verify_staff/parts.html")
        .render(t=staff_texts(call.language), parts=parts_of(site, call), part=part, url=lambda path: address(path, {}))
    )


def title_of(language: Language, page: Page) -> str:
    """Return the title of a page."""
    title = staff_texts(language)[f"title_{page.title}"]
    return f"{title}: {page.about}" if page.about else title


def trail_of(call: StaffCall, page: Page, address: Address) -> Sequence[tuple[str, str]]:
    """Return the pages above this one, the part first: the address and the text of each."""
    if not page.part:
        return []
    above = [(PART_PATHS[page.part], staff_texts(call.language)[page.part]), *page.above]
    return [(address(path, {}), text) for path, text in above if path != call.path]


def message_of(language: Language, redirect: Redirect) -> str:
    """Return the message of a redirect; empty if it has none."""
    if not redirect.message:
        return ""
    text = staff_texts(language)[redirect.message]
    return f"{text} {redirect.detail}".strip()


@cache
def staff_texts(language: Language) -> Mapping[str, str]:
    """Return the texts of these pages in a language."""
    texts = texts_in(language)
    return {key: texts.translated(text) for key, text in STAFF.items()}


@cache
def environment() -> Environment:
    """Return the environment of the templates. Raises `ConfigurationError` if Jinja2 is not installed."""
    try:
        import jinja2
    except ImportError:
        raise ConfigurationError(
            "the pages of staff need Jinja2", "Install it: pip install 'phone-verify[services]'"
        ) from None
    return jinja2.Environment(
        loader=jinja2.PackageLoader("phone_verify.staff"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(slots=True)
class _Clock:
    """Writes times in a zone, and knows whether a page has any."""

    zone: tzinfo
    numbers: Numbers
    used: bool = False

    def text(self, at: datetime | None) -> str:
        if at is None:
            return "–"
        self.used = True
        return self.numbers.time(at.astimezone(self.zone))
