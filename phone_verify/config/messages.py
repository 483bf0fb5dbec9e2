"""Reads the settings of the messages: the site's own texts, and the hashes of its Android apps."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from unicodedata import category

from ..errors import ConfigurationError, FieldFault, quoted
from ..i18n.languages import LANGUAGES
from ..i18n.messages import ANY, Wording

_TEXTS, _HASH = "PHONE_VERIFY_TEXTS", "PHONE_VERIFY_ANDROID_HASH"
_PURPOSE = re.compile(r"[a-z][a-z0-9_]{0,31}|\*", re.ASCII)
_HASH_FORM = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)
#: Controls, marks of direction, characters without width, separators of lines, lone surrogates:
#: phones do not find a code next to them, and no provider accepts the last.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
#: Line breaks; the joiners, which Persian words and some emojis need.
_ALLOWED_UNSEEN = "\n\u200c\u200d"
_PLACEHOLDERS = ("code", "site", "minutes")
#: Ten segments of SMS; no provider takes more.
_LONGEST = 670


def read_wording(given: Mapping[str, object]) -> Wording:
    """Return the settings `texts` and `android_hash`. Raises `ConfigurationError`."""
    return Wording(read_texts(given.get("texts")), _read_hashes(given.get("android_hash")))


def read_texts(value: object) -> Mapping[str, Mapping[str, str]]:
    """Return the setting `texts`: a mapping, or the path of a JSON file. Raises `ConfigurationError`."""
    if value is None:
        return {}
    if isinstance(value, str | Path):
        value = _from_file(Path(value))
    try:
        return texts_by_purpose(value)
    except ValueError as error:
        raise ConfigurationError(f"{_TEXTS}: {error}") from None


def texts_by_purpose(value: object) -> Mapping[str, Mapping[str, str]]:
    """Return the texts of a mapping by purpose and language. Raises `ValueError` with a `FieldFault`."""
    if not isinstance(value, Mapping):
        raise _malformed()
    return {_purpose(name): _by_language(name, texts) for name, texts in value.items()}


def _from_file(path: Path) -> object:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{_TEXTS}: the file cannot be read ({error.strerror})") from None
    except ValueError:  # malformed JSON, or not UTF-8
        raise ConfigurationError(f"{_TEXTS}: the file is not JSON in UTF-8") from None


def _purpose(name: object) -> str:
    if isinstance(name, str) and _PURPOSE.fullmatch(name):
        return name
    raise ValueError(
        FieldFault("{word} is not a purpose; use a name like login, or * for every one", word=quoted(name))
    )


def _by_language(purpose: str, texts: object) -> Mapping[str, str]:
    if isinstance(texts, str):
        texts = {ANY: texts}
    if not isinstance(texts, Mapping) or not all(isinstance(text, str) for text in texts.values()):
        raise _malformed()
    for tag, text in texts.items():
        if tag not in (*LANGUAGES, ANY):
            known = ", ".join(LANGUAGES)
            raise ValueError(
                FieldFault(
                    "unknown language {word} of {purpose}; use {words}, or * for every language",
                    word=quoted(tag),
                    purpose=purpose,
                    words=known,
                )
            )
        if (fault := _fault_of(text)) is not None:
            raise ValueError(
                FieldFault("the text of {purpose} in {language} {fault}", purpose=purpose, language=tag, fault=fault)
            )
    return dict(texts)


def _fault_of(text: str) -> FieldFault | None:
    """Return what is wrong with a text, or None."""
    try:
        fields = list(Formatter().parse(text))
    except ValueError:
        return FieldFault("has a single brace; write {{{{ or }}}} for a brace")
    names = [name for _, name, _, _ in fields if name is not None]
    if unknown := [name for name in names if name not in _PLACEHOLDERS]:
        return FieldFault("has the placeholder {word}; use {{code}}, {{site}} and {{minutes}}", word=quoted(unknown[0]))
    if any(form or conversion for _, name, form, conversion in fields if name is not None):
        return FieldFault("has a format in a placeholder; write {{code}}, {{site}} or {{minutes}}")
    if "code" not in names:
        return FieldFault("has no {{code}}")
    if any(category(character) in _UNSEEN for character in text if character not in _ALLOWED_UNSEEN):
        return FieldFault("has an invisible character; remove it")
    return FieldFault("is longer than ten SMS; shorten it") if len(text) > _LONGEST else None


def _malformed() -> ValueError:
    return ValueError(
        FieldFault('must map purposes to texts by language, like {{"login": {{"en": "{{code}} is your code."}}}}')
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
    try:
        return {_purpose(name): text for name, text in value.items()}
    except ValueError as error:
        raise ConfigurationError(f"{_HASH}: {error}") from None


def _entry(text: str) -> tuple[str, str]:
    purpose, separator, written = text.partition("=")
    return (purpose.strip(), written.strip()) if separator else (ANY, text)


def _malformed_hash() -> ConfigurationError:
    return ConfigurationError(
        f"{_HASH}: use the 11 characters that Android's SMS Retriever expects for your app, by purpose, like "
        "signup=FA+9qCX9VSu"
    )
