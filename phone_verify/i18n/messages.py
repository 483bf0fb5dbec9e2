"""Writes the message that carries a code: our text or the site's own, and the line for phones at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ..before_send import ClientFacts
from ..model import Channel
from ..segments import segments
from .languages import ENGLISH, LANGUAGES, Language, named
from .texts import texts_in

#: In place of a purpose or a language: every other one.
ANY = "*"
#: Longer messages are not read by Android's SMS Retriever.
RETRIEVER_BYTES = 140
_NOT_GIVEN = ClientFacts()


@dataclass(frozen=True, slots=True)
class Wording:
    """The site's own texts by purpose and language, and the hashes of its Android apps by purpose.

    `*` is every purpose, or every language, that has no own entry. The texts have the placeholders
    `{code}`, `{site}` and `{minutes}`.
    """

    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    android_hashes: Mapping[str, str] = field(default_factory=dict)

    def text(self, purpose: str, language: Language) -> str | None:
        """Return the site's text for this purpose in this language, or None for ours."""
        for texts in (self.texts.get(purpose, {}), self.texts.get(ANY, {})):
            if (text := texts.get(language.tag) or texts.get(ANY)) is not None:
                return text
        return None

    def android_hash(self, purpose: str) -> str | None:
        """Return the hash of the app that reads the messages of this purpose, or None."""
        return self.android_hashes.get(purpose) or self.android_hashes.get(ANY)


def message_writer(
    site_name: str, host: str | None, wording: Wording | None = None, languages: Sequence[str] = ()
) -> Callable[..., str]:
    """Return the function that writes a message with a code, in the language of a locale or in English.

    Its arguments are those of `parts.Texts`. An SMS ends in exactly one line for phones, because both
    of them must be last: the hash of an Android app, if the purpose has one; otherwise the
    origin-bound line `@host #code` (WICG, "Origin-bound one-time codes"), if the host is known, by
    which phones fill in the code on that site only. In a frame it is `@top #code @host`.

    Our text is shortened to one segment if possible: first without the lifetime, then, if that line names the site or
    its app, without the site's name. The site's own text is never shortened. `languages` are the tags of
    those to use, the first of them for all other locales; by default every one, and English.
    """
    wording = wording or Wording()

    def write(
        channel: Channel,
        code: str,
        life: timedelta,
        locale: str | None,
        purpose: str = ANY,
        client: ClientFacts = _NOT_GIVEN,
    ) -> str:
        language = named(locale or "") or ENGLISH
        if languages and language.tag not in languages:
            language = LANGUAGES[languages[0]]
        own, texts = wording.text(purpose, language), texts_in(language)
        android_hash = wording.android_hash(purpose)
        page_host = client.page_host or host
        end = ""
        if channel is Channel.SMS:
            end = f"\n\n{android_hash}" if android_hash else _origin_bound(page_host, client.top_host, code)
        if own is not None:
            minutes = max(1, int(life.total_seconds() // 60))
            return own.format(code=code, site=site_name, minutes=language.number(minutes)) + end

        whole, for_app = texts.message(code, life, site_name) + end, bool(android_hash)
        if channel is not Channel.SMS or _fits(whole, for_app=for_app):
            return whole
        shorter = (texts.short_message(code, name) + end for name in ([site_name, ""] if end else [site_name]))
        return next((text for text in shorter if _fits(text, for_app=for_app)), whole)

    return write


def _origin_bound(host: str | None, top: str | None, code: str) -> str:
    if not host:
        return ""
    return f"\n\n@{host} #{code}" if top in (None, host) else f"\n\n@{top} #{code} @{host}"


def _fits(text: str, *, for_app: bool) -> bool:
    return segments(text).count == 1 and not (for_app and exceeds_retriever(text))


def exceeds_retriever(text: str) -> bool:
    """Return whether this SMS is too long for Android's SMS Retriever."""
    return len(text.encode()) > RETRIEVER_BYTES
