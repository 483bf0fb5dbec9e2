"""Checks of the messages: their size, and the line at the end of an SMS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from ..before_send import ClientFacts
from ..config.site import trusted_origins
from ..drivers.base import SendsNotices
from ..i18n.languages import LANGUAGES
from ..i18n.messages import ANY, RETRIEVER_BYTES, exceeds_retriever, message_writer
from ..model import Channel
from ..purposes import SIGN_IN_PURPOSES
from ..segments import segments
from .finding import Finding, Level
from .loader import Reading, setting

#: The longest host with which each of our texts fits in one SMS; a test of the texts checks it.
_SHORT_HOST = 20


def messages(reading: Reading) -> Iterator[Finding]:
    """Report the cost of one message: operators count segments, and a long name or host adds one.

    Only a driver that sends any text sends ours; the others put the code into the provider's
    template.
    """
    settings, drivers = reading.settings, reading.drivers.get(Channel.SMS, ())
    if not any(isinstance(driver, SendsNotices) for driver in drivers):
        if settings.wording.texts:
            says = "No SMS driver sends a text of the site: the providers fill the code into their own."
            yield Finding(Level.NOTE, setting("texts"), says, id="PV212")
        return
    yield from _segments(reading)
    yield from _own_texts(reading)
    yield from _for_apps(reading)


def _segments(reading: Reading) -> Iterator[Finding]:
    host = _longest_host(reading)
    write = message_writer(reading.settings.site_name, host)
    takes = {tag: segments(write(*_sample(reading), tag)).count for tag in LANGUAGES}
    counted = ", ".join(f"{tag} {count}" for tag, count in takes.items())
    says = f"SMS segments per message, each billed: {counted}."
    if max(takes.values()) == 1:
        yield Finding(Level.NOTE, "", says, id="PV209")
    elif host:
        says += f" With a host of up to {_SHORT_HOST} characters each is one."
        yield Finding(Level.NOTE, setting("public_url"), says, id="PV209")
    else:
        yield Finding(Level.WARNING, setting("site_name"), says, f"Set a shorter {setting('site_name')}.", id="PV209")


def _own_texts(reading: Reading) -> Iterator[Finding]:
    settings = reading.settings
    write = message_writer(settings.site_name, _longest_host(reading), settings.wording)
    pages = list(_pages(reading))
    counts = {
        f"{purpose} in {tag}": max(segments(write(*_sample(reading), _tag(tag), purpose, page)).count for page in pages)
        for purpose, texts in settings.wording.texts.items()
        for tag in texts
    }
    if not counts:
        return
    says = f"SMS segments of your texts, each billed: {', '.join(f'{name} {count}' for name, count in counts.items())}."
    yield Finding(Level.NOTE, setting("texts"), says, id="PV213")
    if long := [name for name, count in counts.items() if count > 1]:
        says = f"More than one SMS for each message: {', '.join(long)}."
        advice = "Shorten the text, or write it in the GSM alphabet: any other character leaves 70 instead of 160."
        yield Finding(Level.WARNING, setting("texts"), says, advice, id="PV214")


def _for_apps(reading: Reading) -> Iterator[Finding]:
    """Report what the hash of an Android app costs: browsers, and the length of the message."""
    wording, name = reading.settings.wording, setting("android_hash")
    write = message_writer(reading.settings.site_name, _longest_host(reading), wording)
    long = [
        f"{purpose} in {tag}"
        for purpose in wording.android_hashes
        for tag in LANGUAGES
        if exceeds_retriever(write(*_sample(reading), tag, purpose))
    ]
    if long:
        says = f"Longer than the {RETRIEVER_BYTES} bytes that the SMS Retriever reads: {', '.join(long)}."
        advice = f"Shorten the text in {setting('texts')}, or {setting('site_name')}."
        yield Finding(Level.WARNING, name, says, advice, id="PV215")
    if ANY in wording.android_hashes or all(purpose in wording.android_hashes for purpose in SIGN_IN_PURPOSES):
        says = "No SMS for signing in has the line @host #code, so browsers fill in no code."
        advice = "Set it for one purpose that only your app names, like signup=FA+9qCX9VSu, if the site has pages."
        yield Finding(Level.NOTE, name, says, advice, id="PV216")


def _pages(reading: Reading) -> Iterator[ClientFacts]:
    """Return the pages that the last line of an SMS can name: ours, those of other origins, and frames."""
    settings = reading.settings
    yield ClientFacts()
    for origin in trusted_origins(settings, reading.given.framework_origins):
        if origin.startswith("https://"):
            yield ClientFacts(page_host=urlsplit(origin).hostname)
    for source in settings.frame_ancestors:
        # The length of the label in place of a wildcard is not known.
        yield ClientFacts(top_host=urlsplit(source.replace("*.", "", 1)).hostname)


def _longest_host(reading: Reading) -> str | None:
    settings = reading.settings
    urls = [*([settings.public_url] if settings.public_url else []), *settings.other_public_urls]
    return max((urlsplit(url).hostname or "" for url in urls), key=len, default=None)


def _sample(reading: Reading) -> tuple[Channel, str, timedelta]:
    """Return the channel, the longest code and the lifetime of a message."""
    settings = reading.settings
    lengths = [limits.code_length or 0 for limits in settings.purposes.limits.values()]
    return Channel.SMS, "0" * max([settings.policy.code_length, *lengths]), settings.policy.ttl


def _tag(tag: str) -> str:
    """Return a language that a text for every language serves."""
    return "en" if tag == ANY else tag
