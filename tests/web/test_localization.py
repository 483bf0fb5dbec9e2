"""The language of API and page responses, and the one recorded for the messages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest

from phone_verify.api import ApiRequest, ApiResponse, Site, handle, login_refused
from phone_verify.http.cookies import pairs
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import texts_in
from phone_verify.model import Channel
from phone_verify.web.flow import (
    CodePage,
    Redirect,
    refused_login,
    show_code,
    show_login,
    show_logout,
    submit_code,
    submit_login,
)
from tests.core.harness import PHONE, Harness, flash, sms, wrong

FA = texts_in(LANGUAGES["fa"])


def ask(site: Site, path: str, fields: Any, header: str = "", language: str | None = None, **more: str) -> ApiResponse:
    headers = {"content-type": "application/json", "accept-language": header, **more}
    body = json.dumps(fields).encode()
    answer = handle(site, ApiRequest("POST", f"v1/{path}", headers, body=body, language=language))
    assert isinstance(answer, ApiResponse)
    assert answer.document is not None
    return answer


@pytest.mark.parametrize(
    ("field", "header", "language", "spoken"),
    [
        (None, "", None, "en"),
        (None, "fa-IR,fa;q=0.9,en;q=0.8", None, "fa"),
        (None, "fa", "ru", "ru"),  # the site has chosen
        (None, "fa", "de", "en"),  # and requests an unsupported language
        ("ar-EG", "fa", "ru", "ar"),
        ("fa_IR", "", None, "fa"),
        ("xx", "ru", None, "ru"),
        ("not a language", "ru", "fa", "fa"),
        ("\ud800", "", None, "en"),
    ],
)
def test_locale_field_precedes_site_and_site_precedes_browser(
    field: str | None, header: str, language: str | None, spoken: str
) -> None:
    harness = Harness(sms())
    fields = {"phone": PHONE.e164} | ({} if field is None else {"locale": field})
    begun = ask(Site(harness.verifier), "verifications", fields, header, language)
    assert begun.status == 201
    record = harness.verifier.get(begun.document["id"], begun.document["secret"]).verification  # type: ignore[index]
    assert record is not None
    assert record.locale == spoken


def test_only_visitor_texts_of_a_problem_are_localized() -> None:
    driver = sms()
    site = Site(Harness(driver).verifier)

    def said(path: str, fields: Any, **more: str) -> tuple[object, object, object]:
        document = ask(site, path, fields, "fa", **more).document or {}
        return document["code"], document["title"], document["detail"]

    assert said("verifications", {"phone": "12"}) == ("invalid_phone", "Bad Request", FA.page["invalid_phone"])
    begun = ask(site, "verifications", {"phone": PHONE.e164}, "fa").document or {}
    path, secret = f"verifications/{begun['id']}/check", {"verification-secret": str(begun["secret"])}
    code, title, detail = said(path, {"code": wrong(driver.codes[0])}, **secret)
    assert (code, title, detail) == ("wrong_code", HTTPStatus(422).phrase, "کد نادرست است.")
    assert said(path, {"code": "1"}, **secret)[0] == "invalid_request"
    assert said(path, {"code": "1"})[2] == "این درخواست تأیید پیدا نشد. لطفاً از نو شروع کنید."
    assert said(path, {"codes": "1"})[2] == "Unknown field: codes. Allowed: code."
    answer = login_refused(ApiRequest("POST", "v1/session", {"accept-language": "fa"}))
    assert (answer.document or {})["detail"] == FA.page["login_refused"]
    assert (ask(site, path, {"code": "1"}, "de").document or {})[
        "detail"
    ] == "We couldn't find this verification. Start over."


NO_VERIFICATION = Redirect("login")


@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_page_is_in_the_language(tag: str) -> None:
    texts, ringing, driver = texts_in(LANGUAGES[tag]), flash("1234"), sms()
    harness = Harness(driver, ringing, resend_after=timedelta(seconds=60))
    site = Site(harness.verifier)

    def call(begun: Redirect = NO_VERIFICATION) -> ApiRequest:
        headers, started = {"accept-language": f"{tag}, en;q=0.5"}, begun.started or ()
        return ApiRequest("POST", "", headers, cookie=begun.cookie or "", started=started)

    login = show_login(site, call())
    assert (login.language, login.text["login_title"]) == (LANGUAGES[tag], texts.page["login_title"])
    assert [choice.label for choice in login.choices] == [
        texts.channels[Channel.SMS],
        texts.channels[Channel.FLASH_CALL],
    ]
    assert show_logout(call()).text is texts.page
    refusal = refused_login(call()).message
    assert refusal is not None
    assert refusal.error == texts.page["login_refused"]
    typed = show_login(site, call(), message=submit_login(site, call(), {"phone": "12"}).message)
    assert (typed.error, typed.language.tag) == (texts.page["invalid_phone"], tag)

    begun = submit_login(site, call(), {"phone": PHONE.e164, "channel": "sms"})
    assert isinstance(begun, Redirect)
    record = harness.verifier.get(*pairs(begun.cookie or "")[0]).verification
    assert record is not None
    assert record.locale == tag
    page = show_code(site, call(begun))
    assert isinstance(page, CodePage)
    assert (page.lead, page.text) == (texts.page["lead_code"], texts.page)
    assert page.expires_text == texts.duration(timedelta(minutes=5))
    assert page.resend_text == texts.duration(timedelta(seconds=60))
    errors = []
    for form in ({"code": wrong(driver.codes[0])}, {"resend": "1"}):
        answer = submit_code(site, call(begun), form)
        assert isinstance(answer, Redirect)
        assert answer.message is not None
        errors.append(answer.message.error)
    assert errors[0].endswith(texts.attempts_left(4))
    assert LANGUAGES[tag].number(4) in errors[0]
    assert errors[1] == texts.wait_until("wait_code", timedelta(seconds=60))
    if tag != "en":
        shown = [page.lead, *errors, page.expires_text, *(choice.label for choice in page.choices)]
        assert not re.search("[A-Za-z]{4}", " ".join(shown).replace("Telegram", "").replace("WhatsApp", ""))


def test_dialled_and_caller_numbers_stay_in_ascii() -> None:
    site = Site(Harness(sms()).verifier)
    call = ApiRequest("POST", "", {"accept-language": "fa"})
    begun = submit_login(site, call, {"phone": PHONE.e164})
    assert isinstance(begun, Redirect)
    page = show_code(site, replace(call, method="GET", cookie=begun.cookie or "", started=begun.started or ()))
    assert isinstance(page, CodePage)
    assert page.phone_hint == "+98 ••••••••00"
