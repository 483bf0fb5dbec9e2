"""The message that carries a code: the site's own text, and the one line for phones at its end."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phone_verify.before_send import ClientFacts
from phone_verify.cli.settings_list import in_force
from phone_verify.config.settings import Settings
from phone_verify.config.site import SiteConfig, build_site
from phone_verify.errors import ConfigurationError
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.messages import RETRIEVER_BYTES, Wording, message_writer
from phone_verify.i18n.texts import Texts
from phone_verify.model import Channel
from phone_verify.segments import segments
from tests.cases import in_one_test

SMS, TELEGRAM = Channel.SMS, Channel.TELEGRAM
FIVE = timedelta(minutes=5)
HASH = "FA+9qCX9VSu"
TEXTS = {
    "login": {"en": "L {code}", "*": "L* {code}"},
    "payout": "P {code}",
    "*": {"en": "any {code}", "fa": "هر {code}"},
}


def wording(**values: object) -> Wording:
    return Settings.from_mapping(values).wording


@pytest.mark.parametrize(
    ("purpose", "locale", "begins"),
    [
        ("login", "en", "L 012345"),
        ("login", "en-GB", "L 012345"),
        ("login", None, "L 012345"),
        ("login", "fa", "L* 012345"),
        ("payout", "ru", "P 012345"),
        ("confirm", "en", "any 012345"),
        ("confirm", "fa_IR", "هر 012345"),
        ("confirm", "ru", "Ваш код"),  # ours
    ],
)
def test_own_text_is_chosen_by_purpose_then_language(purpose: str, locale: str | None, begins: str) -> None:
    write = message_writer("Shop", "shop.example", wording(texts=TEXTS))
    text = write(SMS, "012345", FIVE, locale, purpose)
    if begins == "Ваш код":
        begins = message_writer("Shop", "shop.example")(SMS, "012345", FIVE, "ru")
    assert text.startswith(begins)
    assert text.endswith("\n\n@shop.example #012345")
    assert "@" not in write(TELEGRAM, "012345", FIVE, locale, purpose)


def test_own_text_has_the_site_and_the_minutes_in_the_languages_digits() -> None:
    write = message_writer("{code} {0}", None, wording(texts={"*": "{{{site}}} {code} {minutes}"}))
    assert write(SMS, "012345", FIVE, "fa", "login") == "{{code} {0}} 012345 ۵"
    assert write(SMS, "012345", timedelta(seconds=30), "en", "login") == "{{code} {0}} 012345 1"


def test_own_text_is_never_shortened() -> None:
    write = message_writer("Shop", "shop.example", wording(texts={"*": "{code} " + "x" * 300}))
    assert segments(write(SMS, "012345", FIVE, None, "login")).count == 3


@in_one_test
@pytest.mark.parametrize("language", list(LANGUAGES))
@pytest.mark.parametrize("site", ["Shop", "A name of more than thirty letters", "فروشگاه"])
@pytest.mark.parametrize("host", ["shop.example", "a-host-of-more-than-twenty-letters.example"])
def test_message_for_an_app_fits_its_retriever(language: str, site: str, host: str) -> None:
    write = message_writer(site, host, wording(android_hash=HASH))
    text = write(SMS, "01234567", FIVE, language, "login")
    assert text.endswith(f"\n\n{HASH}")
    assert "@" not in text
    assert "01234567" in text
    assert len(text.encode()) <= RETRIEVER_BYTES
    assert HASH not in write(TELEGRAM, "01234567", FIVE, language, "login")


def test_hash_is_for_its_purpose_only() -> None:
    write = message_writer("Shop", "shop.example", wording(android_hash=f"signup={HASH}"))
    assert write(SMS, "012345", FIVE, None, "signup").splitlines()[-1] == HASH
    assert write(SMS, "012345", FIVE, None, "login").splitlines()[-1] == "@shop.example #012345"


@pytest.mark.parametrize(
    ("client", "line"),
    [
        (ClientFacts(), "@shop.example #012345"),
        (ClientFacts(page_host="app.example"), "@app.example #012345"),
        (ClientFacts(top_host="top.example"), "@top.example #012345 @shop.example"),
        (ClientFacts(top_host="shop.example"), "@shop.example #012345"),
    ],
)
def test_last_line_names_the_page_of_the_code(client: ClientFacts, line: str) -> None:
    text = message_writer("Shop", "shop.example")(SMS, "012345", FIVE, None, "login", client)
    assert text.splitlines()[-1] == line


def test_last_line_without_a_host_names_only_a_listed_page() -> None:
    write = message_writer("Shop", None)
    assert "@" not in write(SMS, "012345", FIVE, None, "login", ClientFacts(top_host="top.example"))


# The settings.


@in_one_test
@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"login": {"en": "no code"}}, "the text of login in en has no {code}"),
        ({"login": {"en": "{code} {name}"}}, "the text of login in en has the placeholder 'name'"),
        ({"login": {"en": "{code} {}"}}, "the text of login in en has the placeholder ''"),
        (
            {"login": {"en": "{code.__class__}"}},
            "the text of login in en has the placeholder (14 characters, not shown)",
        ),
        ({"login": {"en": "{code!r}"}}, "has a format in a placeholder"),
        ({"login": {"en": "{code:>9}"}}, "has a format in a placeholder"),
        ({"login": {"en": "{code} }"}}, "has a single brace"),
        ({"login": {"en": "{code} \u202e"}}, "has an invisible character"),
        ({"login": {"en": "{code}\r\n"}}, "has an invisible character"),
        ({"login": {"en": "{code}\u200b"}}, "has an invisible character"),
        ({"login": {"en": "\ufeff{code}"}}, "has an invisible character"),
        ({"login": {"ar": "{code}\u061c"}}, "has an invisible character"),
        ({"login": {"en": "{code}\u2028"}}, "has an invisible character"),
        ({"login": {"en": "{code} \ud800"}}, "has an invisible character"),
        ({"login": {"en": "{code}" + "x" * 670}}, "is longer than ten SMS"),
        ({"login": {"de": "{code}"}}, "unknown language 'de' of login; use en, fa, ru, ar, or *"),
        ({"login": {"en": 7}}, "must map purposes to texts by language"),
        ({"login": ["{code}"]}, "must map purposes to texts by language"),
        ({"Login": "{code}"}, "'Login' is not a purpose"),
        ({7: "{code}"}, "is not a purpose"),
        ([], "must map purposes"),
        (7, "must map purposes"),
        ("/nowhere/at/all.json", "the file cannot be read (No such file or directory)"),
    ],
)
def test_wrong_texts_are_refused_at_start_up(texts: Any, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        wording(texts=texts)
    assert str(refused.value).startswith("PHONE_VERIFY_TEXTS")
    assert says in str(refused.value)


def test_joiners_of_persian_words_are_accepted() -> None:
    texts = {"login": {"fa": "\u06a9\u062f \u0645\u06cc\u200c\u0631\u0633\u062f:\n{code}"}}
    assert wording(texts=texts).texts == texts


def test_texts_of_the_environment_are_a_file(tmp_path: Path) -> None:
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(TEXTS), "utf-8")
    settings = Settings.from_mapping(environ={"PHONE_VERIFY_TEXTS": str(path)})
    assert settings.wording == wording(texts=TEXTS)
    for broken in (b"{", b"\xff", b"[]"):
        path.write_bytes(broken)
        with pytest.raises(ConfigurationError, match="PHONE_VERIFY_TEXTS"):
            Settings.from_mapping(environ={"PHONE_VERIFY_TEXTS": str(path)})


@pytest.mark.parametrize(
    ("value", "hashes"),
    [
        (HASH, {"*": HASH}),
        (f" signup = {HASH} , pay={HASH}", {"signup": HASH, "pay": HASH}),
        ({"signup": HASH}, {"signup": HASH}),
    ],
)
def test_hash_of_an_app_is_set_by_purpose(value: object, hashes: dict[str, str]) -> None:
    assert wording(android_hash=value).android_hashes == hashes


@pytest.mark.parametrize(
    "value", ["short", HASH + "x", "signup=", "A b=FA+9qCX9VSu", 7, {"signup": 7}, ["x"], f"={HASH}"]
)
def test_malformed_hash_is_refused_at_start_up(value: object) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_ANDROID_HASH"):
        wording(android_hash=value)


@pytest.mark.parametrize("value", ["https://x.example/path", "*", "x.example", "http://x.example", "'self'"])
def test_captcha_source_is_an_origin(value: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_CAPTCHA_SOURCES"):
        Settings.from_mapping({"captcha_sources": value})


def test_list_of_settings_names_the_texts() -> None:
    given = SiteConfig({"texts": TEXTS, "android_hash": HASH, "before_send": "x.y"})
    found = {value.name: value.value for value in in_force(given)}
    assert found["texts"] == ["login (en, *)", "payout (*)", "* (en, fa)"]
    assert found["android_hash"] == [f"*={HASH}"]
    assert found["before_send"] == "x.y"


def test_every_host_of_the_site_has_the_texts() -> None:
    values = {"sms": "console://", "secret_keys": "k-key-for-tests-0123456789abcdef", "texts": TEXTS}
    urls = {"public_url": "https://a.example", "other_public_urls": "https://b.example"}
    site = build_site(Settings.from_mapping({**values, **urls}))
    for host in ("a.example", "b.example"):
        texts = site.at(host).verifier.flows._parts.texts
        assert texts(SMS, "012345", FIVE, "en", "login", ClientFacts()) == f"L 012345\n\n@{host} #012345"


def test_message_that_fits_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    message = Texts.message

    def record(texts: Texts, *args: Any) -> str:
        written.append(message(texts, *args))
        return written[-1]

    monkeypatch.setattr(Texts, "message", record)
    assert message_writer("Shop", None)(SMS, "012345", FIVE, "en").splitlines()[:1] == written
