"""The visitor texts in every language: complete, without leftovers, and messages within their segments."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from gettext import c2py
from itertools import product
from pathlib import Path
from string import Formatter

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

import phone_verify
from phone_verify.errors import FieldFault, PlacedFault
from phone_verify.i18n import texts as module
from phone_verify.i18n.languages import ENGLISH, LANGUAGES, Language
from phone_verify.i18n.messages import message_writer
from phone_verify.i18n.report_texts import REPORT
from phone_verify.i18n.staff_texts import STAFF
from phone_verify.i18n.texts import (
    ANNOUNCED_HELP,
    CHANNEL_HELP,
    CHANNELS,
    PAGE,
    REASONS,
    Texts,
    end_text,
    reason_text,
    texts_in,
)
from phone_verify.model import Cause, Channel, CodeSource, Outcome, Reason, Started, Status, Verification
from phone_verify.segments import segments
from tests.cases import in_one_test
from tests.core.harness import Harness, sms

LOCALE = Path(module.__file__).parent / "locale"
TRANSLATED = [tag for tag in LANGUAGES if tag != "en"]
FIVE_MINUTES = timedelta(minutes=5)

every_language = pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
every_translation = pytest.mark.parametrize("tag", TRANSLATED)

BRANDS = {"Telegram", "WhatsApp"}


@cache
def called() -> set[str | tuple[str, ...]]:
    """Return the arguments of `gettext` and `ngettext`."""
    keywords = {"_gettext": None, "_ngettext": (1, 2)}
    return {found for _, found, _, _ in extract_from_file("python", module.__file__, keywords=keywords)}


@cache
def faults() -> set[str | tuple[str, ...]]:
    """Return what can be wrong with the fields of a service or a key; only modules that name the class are parsed."""
    return {
        found
        for path in Path(phone_verify.__file__).parent.rglob("*.py")
        if "FieldFault" in path.read_text("utf-8")
        for _, found, _, _ in extract_from_file("python", path, keywords={"FieldFault": None})
    }


def every_text() -> set[str | tuple[str, ...]]:
    """Return every text in the source: those of the tables, and those of calls."""
    tables = (REASONS, CHANNELS, CHANNEL_HELP, PAGE, REPORT, STAFF)
    return {ANNOUNCED_HELP, *(text for table in tables for text in table.values()), *called(), *faults()}


def sources(tag: str) -> Catalog:
    with (LOCALE / tag / "LC_MESSAGES" / "phone_verify.po").open("rb") as file:
        return read_po(file, abort_invalid=True)


def forms(message: Message) -> Sequence[str]:
    return message.string if isinstance(message.string, tuple) else [message.string]


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_languages_and_locale_folders_match() -> None:
    assert sorted(path.name for path in LOCALE.iterdir()) == sorted(TRANSLATED)
    assert set(CHANNELS) == set(CHANNEL_HELP) == set(Channel)
    assert set(REASONS) == set(Reason)


def test_texts_are_found_in_the_source() -> None:
    assert "No attempts left." in called()
    assert ("{count} minute", "{count} minutes") in called()
    assert "write a whole number" in faults()


@every_language
def test_fault_and_its_place_are_translated_and_values_are_not(language: Language) -> None:
    texts = texts_in(language)
    fault = PlacedFault("day.count", FieldFault("must be from {least} to {most}", least=1, most="ten"))
    assert fault == "day.count: must be from 1 to ten"
    said = texts.fault(fault)
    assert "day.count" in said
    assert "ten" in said
    assert (said == fault) is (language == ENGLISH)
    # A name or a number must not turn the sentence around it.
    assert ("\u2068day.count\u2069" in said) is (language.direction == "rtl")
    assert texts.fault("no fault") == "no fault"


@every_translation
def test_translations_are_complete_and_current(tag: str) -> None:
    found = {message.id: message for message in sources(tag) if message.id}
    assert set(found) == every_text()
    for message in found.values():
        assert not message.fuzzy, message.id
        assert all(form.strip() for form in forms(message)), message.id
        if message.id not in BRANDS:
            assert set(forms(message)).isdisjoint([message.id] if isinstance(message.id, str) else message.id)
    assert not sources(tag).obsolete


@every_translation
def test_plural_forms_match_the_language(tag: str) -> None:
    """One form for each of the categories that Unicode's CLDR has for whole numbers of this language."""
    catalogue, category = sources(tag), Locale(tag).plural_form
    chosen = c2py(catalogue.plural_expr)
    pairs = {(category(n), chosen(n)) for n in range(1000)}
    assert len(pairs) == len(dict(pairs)) == catalogue.num_plurals
    for message in catalogue:
        if isinstance(message.id, tuple):
            assert len(forms(message)) == catalogue.num_plurals, message.id


@every_translation
def test_translation_keeps_the_placeholders(tag: str) -> None:
    """A plural form may omit its number only if it is for exactly one number."""
    catalogue = sources(tag)
    chosen = c2py(catalogue.plural_expr)
    counts = [[n for n in range(1, 1000) if chosen(n) == form] for form in range(catalogue.num_plurals)]
    for message in catalogue:
        if isinstance(message.id, str):
            assert places(message.id) == places(str(message.string)), message.id
        else:
            wanted = places(message.id[1])
            for text, meant in zip(forms(message), counts, strict=True):
                assert wanted - ({"count"} if len(meant) <= 1 else set()) <= places(text) <= wanted, message.id


@every_translation
def test_translation_keeps_the_final_punctuation(tag: str) -> None:
    """A number or time follows some texts, and other sentences follow others."""
    for message in sources(tag):
        for text in forms(message) if message.id else []:
            original = message.id if isinstance(message.id, str) else message.id[0]
            # "… to" may become "… to this number:" in languages with another word order.
            assert (text[-1] in ".؟?…") == (original[-1] in ".?…"), text
            assert text == text.strip()
            assert "  " not in text


@every_translation
def test_catalogues_are_compiled_from_these_sources(tag: str) -> None:
    texts = texts_in(LANGUAGES[tag])
    for message in sources(tag):
        if isinstance(message.id, str) and message.id:
            assert texts.translated(message.id) == message.string


@every_language
def test_counts_are_words_in_the_languages_digits(language: Language) -> None:
    texts = texts_in(language)
    for count in range(1, 11):
        assert _numbers(texts.attempts_left(count)) in ([], [language.number(count)])
    for seconds in range(1, 3600, 7):
        assert _numbers(texts.wait(timedelta(seconds=seconds))) == _numbers(texts.duration(timedelta(seconds=seconds)))
    assert language.number(61) in texts.duration(timedelta(seconds=61))


def test_english_counts_are_words() -> None:
    texts = texts_in(ENGLISH)
    assert [texts.attempts_left(n) for n in (0, 1, 2)] == [
        "No attempts left.",
        "1 attempt left.",
        "2 attempts left.",
    ]
    spans = [timedelta(0), timedelta(seconds=1), timedelta(seconds=1.1), timedelta(seconds=89), timedelta(seconds=90)]
    assert [texts.duration(span) for span in spans] == ["1 second", "1 second", "2 seconds", "89 seconds", "2 minutes"]
    assert texts.wait(timedelta(hours=1)) == "Try again in 60 minutes."


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("fa", ["یک بار", "۲ بار", "۵ بار"]),
        ("ru", ["1 попытка", "2 попытки", "5 попыток"]),
        ("ar", ["محاولة واحدة", "محاولتان", "٥ محاولات"]),
    ],
)
def test_plurals_follow_the_language(tag: str, said: Sequence[str]) -> None:
    texts = texts_in(LANGUAGES[tag])
    for count, words in zip((1, 2, 5), said, strict=True):
        assert words in texts.attempts_left(count)
    assert texts_in(LANGUAGES["ru"]).duration(timedelta(seconds=21)) == "21 секунду"


# The message


HOST = "shop.of-some-length.ir"[-20:]


@every_language
@in_one_test
@pytest.mark.parametrize("host", ["shop.ru", HOST])
@pytest.mark.parametrize("site", ["", "Shop", HOST, "فروشگاه آنلاین ما", "A name of more than thirty letters"])
def test_sms_is_one_segment_with_a_host_of_20_characters(language: Language, site: str, host: str) -> None:
    assert len(HOST) == 20
    for digits, minutes in product(range(3, 9), range(1, 11)):
        code = "01234567"[:digits]
        text = message_writer(site, host)(Channel.SMS, code, timedelta(minutes=minutes), language.tag)
        assert segments(text).count == 1, text
        assert text.endswith(f"\n\n@{host} #{code}")
        assert code in text.splitlines()[0 if language.direction == "ltr" else 1]


@every_language
def test_sms_without_a_host_keeps_the_site_name_in_one_segment(language: Language) -> None:
    for digits, minutes in product(range(3, 9), range(1, 11)):
        text = message_writer(HOST, None)(Channel.SMS, "01234567"[:digits], timedelta(minutes=minutes), language.tag)
        assert segments(text).count == 1, text
        assert HOST in text


@every_language
def test_sms_leaves_out_no_more_than_needed(language: Language) -> None:
    texts = texts_in(language)
    write = message_writer("Shop", "ab.ir")
    whole, brief = texts.message("012345", FIVE_MINUTES, "Shop"), texts.short_message("012345", "Shop")
    end = "\n\n@ab.ir #012345"
    assert write(Channel.SMS, "012345", FIVE_MINUTES, language.tag) == (whole if language is ENGLISH else brief) + end
    long = message_writer("Shop", "x" * 160)(Channel.SMS, "012345", FIVE_MINUTES, language.tag)
    assert long.startswith(whole)  # two segments are paid for in any case
    assert write(Channel.TELEGRAM, "012345", FIVE_MINUTES, language.tag) == whole


@every_language
@pytest.mark.parametrize("site", ["", "Shop", HOST])
def test_number_change_notice_is_one_segment(language: Language, site: str) -> None:
    assert segments(texts_in(language).number_changed(site)).count == 1


@every_language
@pytest.mark.parametrize("site", ["", "Example Shop", "فروشگاه", "{code} {0} %s"])
def test_message_has_the_ascii_code_and_no_other_digits(language: Language, site: str) -> None:
    for channel in (Channel.SMS, Channel.TELEGRAM, Channel.VOICE):
        text = message_writer(site, None)(channel, "012345", FIVE_MINUTES, language.tag)
        assert site in text
        assert not site or not text.startswith(site)  # its first letter would set the direction of the whole text
        rest = text.replace(site, "") if site else text
        told = channel is not Channel.SMS or language is ENGLISH  # an SMS may omit the lifetime
        assert re.findall("[0-9]+", rest) in (["012345"], ["012345", "5"])
        assert not told or language.number(5) in rest
        assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)


@every_language
def test_sms_last_line_binds_the_code_to_the_origin(language: Language) -> None:
    write = message_writer("Shop", "shop.example")
    text = write(Channel.SMS, "012345", FIVE_MINUTES, language.tag)
    assert text.endswith("\n\n@shop.example #012345")
    assert text.count("@") == text.count("#") == 1
    for channel in (Channel.TELEGRAM, Channel.WHATSAPP, Channel.VOICE):
        assert "@" not in write(channel, "012345", FIVE_MINUTES, language.tag)
    assert "@" not in message_writer("Shop", None)(Channel.SMS, "012345", FIVE_MINUTES, language.tag)


@every_language
def test_rtl_message_has_the_code_on_its_own_line(language: Language) -> None:
    for site, minutes in product(("", "Example Shop"), range(1, 11)):
        life = timedelta(minutes=minutes)
        lines = message_writer(site, "shop.example")(Channel.SMS, "012345", life, language.tag).splitlines()
        assert ("012345" in lines) == (language.direction == "rtl")


@pytest.mark.parametrize("locale", [None, "", "xx", "de-DE", "not a language", "\x00", "x" * 1000, "\ud800"])
def test_unknown_locale_is_english(locale: str | None) -> None:
    write = message_writer("Shop", "shop.example")
    assert write(Channel.SMS, "012345", FIVE_MINUTES, locale) == write(Channel.SMS, "012345", FIVE_MINUTES, "en")
    assert write(Channel.SMS, "012345", FIVE_MINUTES, "en").startswith(
        "012345 is your Shop code. It expires in 5 minutes."
    )


# Catalogues


def test_broken_catalogue_falls_back_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    compiled = (LOCALE / "fa" / "LC_MESSAGES" / "phone_verify.mo").read_bytes()
    broken = {"xa": None, "xb": b"", "xc": b"\0" * 64, "xd": compiled[:2000], "xe": compiled[:10]}
    for tag, content in broken.items():
        folder = tmp_path / "locale" / tag / "LC_MESSAGES"
        folder.mkdir(parents=True)
        if content is not None:
            (folder / "phone_verify.mo").write_bytes(content)
        texts_in.cache_clear()
        caplog.clear()
        with caplog.at_level(logging.WARNING, "phone_verify"):
            for _ in range(2):
                assert texts_in(replace(LANGUAGES["fa"], tag=tag)).page["login_title"] == "Sign in"
        assert [record.getMessage() for record in caplog.records] == [
            f"no translations for '{tag}', texts will be in English: reinstall phone-verify"
        ]
    texts_in.cache_clear()


def test_many_threads_read_the_same_texts() -> None:
    texts_in.cache_clear()
    barrier, read = threading.Barrier(8), []

    def look(tag: str) -> None:
        barrier.wait()
        read.append((tag, texts_in(LANGUAGES[tag]).page["login_title"]))

    threads = [threading.Thread(target=look, args=(tag,)) for tag in [*LANGUAGES] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read) == sorted([("en", "Sign in"), ("fa", "ورود"), ("ru", "Вход"), ("ar", "تسجيل الدخول")] * 2)


def test_refusal_shows_attempts_left_or_retry_time() -> None:
    texts = texts_in(ENGLISH)
    assert texts.refusal(Outcome()) == ""
    assert texts.refusal(Outcome(Reason.CLOSED)) == REASONS[Reason.CLOSED]
    assert texts.refusal(Outcome(Reason.WRONG_CODE)) == REASONS[Reason.WRONG_CODE]
    late = Outcome(Reason.TOO_MANY_REQUESTS, retry_after=timedelta(seconds=40))
    assert texts.refusal(late) == "Too many attempts. Try again in 40 seconds."
    assert texts.refusal(replace(late, sends=True)) == "You can't get another code yet. Try again in 40 seconds."


@pytest.mark.parametrize("cause", [*Cause, None])
def test_only_a_refused_number_is_blamed(cause: Cause | None) -> None:
    failed = Outcome(Reason.DELIVERY_FAILED, cause=cause)
    expected = REASONS[Reason.DELIVERY_FAILED] if cause is Cause.NUMBER else PAGE["cannot_send"]
    assert reason_text(failed) == expected
    assert texts_in(ENGLISH).refusal(failed) == expected


def test_unknown_text_is_unchanged() -> None:
    texts: Texts = texts_in(LANGUAGES["fa"])
    assert [texts.translated(text) for text in ("", "Something else.", "{")] == ["", "Something else.", "{"]


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+", text)


# Ends


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (Status.EXPIRED, "Your code has expired."),
        (Status.EXHAUSTED, "Too many incorrect codes. Request a new one."),
        (Status.CANCELLED, "This verification was cancelled."),
        (Status.VERIFIED, "This number has already been verified."),
        (Status.FAILED, PAGE["cannot_send"]),
    ],
)
def test_closed_verification_names_its_end(state: Status, text: str) -> None:
    record = _record(state, CodeSource.LOCAL)
    assert end_text(record) == text
    assert reason_text(Outcome(Reason.CLOSED, record)) == text


def test_expired_call_does_not_mention_a_code() -> None:
    assert "code" not in end_text(_record(Status.EXPIRED, CodeSource.NONE))


def test_malformed_code_names_its_length() -> None:
    malformed = Outcome(Reason.MALFORMED_CODE, _record(Status.SENT, CodeSource.LOCAL))
    assert texts_in(ENGLISH).refusal(malformed) == "Enter the full 6-digit code."
    assert "۶" in texts_in(LANGUAGES["fa"]).refusal(malformed)


@pytest.mark.parametrize(("count", "digits"), [(None, "last digits"), (1, "last digit"), (4, "last 4 digits")])
def test_flash_call_asks_for_as_many_digits_as_it_has(count: int | None, digits: str) -> None:
    assert f"the {digits} of the number" in texts_in(ENGLISH).last_digits(count)


def _record(state: Status, code_source: CodeSource) -> Verification:
    harness = Harness(sms())
    outcome = harness.start()
    assert isinstance(outcome, Started)
    return replace(outcome.verification, status=state, code_source=code_source)
