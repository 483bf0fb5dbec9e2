"""Reads the settings of the messages: the site's own texts, and the hashes of its Android apps."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from ..errors import ConfigurationError, quoted
from ..i18n.languages import LANGUAGES
from ..i18n.messages import ANY, Wording

_TEXTS, _HASH = "PHONE_VERIFY_TEXTS", "PHONE_VERIFY_ANDROID_HASH"
_PURPOSE = re.compile(r"[a-z][a-z0-9_]{0,31}|\*", re.ASCII)
_HASH_FORM = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)
#: Controls other than a line break, and marks of direction: phones do not find a code next to them.
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PLACEHOLDERS = ("code", "site", "minutes")
#: Ten segments of SMS; no provider takes more.
_LONGEST = 670


def read_wording(given: Mapping[str, object]) -> Wording:
    """Return the settings `texts` and `android_hash`. Raises `ConfigurationError`."""
    return Wording(_read_texts(given.get("texts")), _read_hashes(given.get("android_hash")))


def _read_texts(value: object) -> Mapping[str, Mapping[str, str]]:
    if value is None:
        return {}
    if isinstance(value, str | Path):
        value = _from_file(Path(value))
    if not isinstance(value, Mapping):
        raise _malformed()
    return {_purpose(name, _TEXTS): _by_language(name, texts) for name, texts in value.items()}


def _from_file(path: Path) -> object:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{_TEXTS}: the file cannot be read ({error.strerror})") from None
    except ValueError:  # malformed JSON, or not UTF-8
        raise ConfigurationError(f"{_TEXTS}: the file is not JSON in UTF-8") from None


def _purpose(name: object, setting: str) -> str:
    if isinstance(name, str) and _PURPOSE.fullmatch(name):
        return name
    raise ConfigurationError(f"{setting}: {quoted(name)} is not a purpose; use a name like login, or * for every one")


def _by_language(purpose: str, texts: object) -> Mapping[str, str]:
    if isinstance(texts, str):
        texts = {ANY: texts}
    if not isinstance(texts, Mapping) or not all(isinstance(text, str) for text in texts.values()):
        raise _malformed()
    for tag, text in texts.items():
        if tag not in (*LANGUAGES, ANY):
            known = ", ".join(LANGUAGES)
            raise ConfigurationError(
                f"{_TEXTS}: unknown language {quoted(tag)} of {purpose}; use {known}, or * for every language"
            )
        if fault := _fault_of(text):
            raise ConfigurationError(f"{_TEXTS}: the text of {purpose} in {tag} {fault}")
    return dict(texts)


def _fault_of(text: str) -> str:
    """Return what is wrong with a text; empty for nothing."""
    try:
        fields = list(Formatter().parse(text))
    except ValueError:
        return "has a single brace; write {{ or }} for a brace"
    names = [name for _, name, _, _ in fields if name is not None]
    if unknown := [name for name in names if name not in _PLACEHOLDERS]:
        return f"has the placeholder {quoted(unknown[0])}; use {{code}}, {{site}} and {{minutes}}"
    if any(form or conversion for _, name, form, conversion in fields if name is not None):
        return "has a format in a placeholder; write {code}, {site} or {minutes}"
    if "code" not in names:
        return "has no {code}"
    if _UNSEEN.search(text):
        return "has an invisible character; remove it"
    return "is longer than ten SMS; shorten it" if len(text) > _LONGEST else ""


def _malformed() -> ConfigurationError:
    return ConfigurationError(
        f'{_TEXTS} must map purposes to texts by language, like {{"login": {{"en": "{{code}} is your code."}}}}; '
        "in the environment, the path of a JSON file"
    )


def _read_hashes(value: object) -> Mapping[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        entries = [word.strip() for word in value.split(",") if word.strip()]
        value = dict(_entry(entry) for entry in entries)
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise _malformed_hash()
    if not all(map(_HASH_FORM.fullmatch, value.values())):
        raise _malformed_hash()
    return {_purpose(name, _HASH): text for name, text in value.items()}


def _entry(text: str) -> tuple[str, str]:
    purpose, separator, written = text.partition("=")
    return (purpose.strip(), written.strip()) if separator else (ANY, text)


def _malformed_hash() -> ConfigurationError:
    return ConfigurationError(
        f"{_HASH}: use the 11 characters that Android's SMS Retriever expects for your app, by purpose, like "
        "signup=FA+9qCX9VSu"
    )
