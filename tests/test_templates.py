"""The templates of the two adapters: one text, two engines, no literal text and no inline style."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jinja2
import markupsafe
import pytest
from django.template import Context, Engine
from django.utils.safestring import mark_safe

from phone_verify.http.brand import Brand
from phone_verify.http.qr import svg_data_uri
from phone_verify.i18n.languages import ENGLISH
from phone_verify.i18n.texts import PAGE, texts_in
from phone_verify.model import Channel
from phone_verify.web.assets import asset
from phone_verify.web.flow import Choice, CodePage, LoginPage, LogoutPage, NumberHelp, Page, VerifyPage
from phone_verify.web.pages import LastNumber, channel_choice
from tests.cases import in_one_test

ROOT = Path(__file__).parent.parent
OF_DJANGO = ROOT / "phone_verify_django" / "templates"
OF_FLASK = ROOT / "phone_verify_flask" / "templates"
#: Templates of one framework only: they show a form of that framework.
DJANGOS_ALONE = {"signup.html"}
NAMES = sorted({path.name for path in (OF_DJANGO / "phone_verify").iterdir()} - DJANGOS_ALONE)
SOURCES = {name: (OF_DJANGO / "phone_verify" / name).read_text() for name in NAMES}

DJANGO = Engine(dirs=[OF_DJANGO])
JINJA = jinja2.Environment(loader=jinja2.FileSystemLoader(OF_FLASK), autoescape=True)

URLS = {name: f"/phone/{name}/" for name in ("login", "code", "verify", "logout")} | {
    "sign_in": "/accounts/login/",
    "style": "/phone/static/phone_verify.css",
    "script": "/phone/static/phone_verify.js",
    "client": "/phone/static/phone-verify-client.js",
    "brand_style": "/phone/static/brand.css",
    "api": "/phone/",
    "onward": "/account/",
}
NO_BRAND = Brand()
CSRF = '<input type="hidden" name="csrf_token" value="made-up">'
NEXT = "/basket?a=1&b='2'"

TEXTS = texts_in(ENGLISH)
SMS = channel_choice(TEXTS, Channel.SMS, chosen=True, recommended=True)
RING = channel_choice(TEXTS, Channel.FLASH_CALL)
CALL_US = channel_choice(TEXTS, Channel.INBOUND_CALL)
TELEGRAM = channel_choice(TEXTS, Channel.TELEGRAM)
MORE = [RING, CALL_US, TELEGRAM]
DIAL = {"number": "+982100000000", "uri": "tel:+982100000000", "qr": svg_data_uri("tel:+982100000000")}

LOGIN = LoginPage([SMS, RING], next=NEXT)
CODE = CodePage(
    "code",
    "+98 ••••••••00",
    "Example Shop",
    id="made-up",
    lead=PAGE["lead_code"],
    code_length=6,
    expires_in=180,
    expires_text="3 minutes",
    choices=[RING],
    poll_path="v1/verifications/made-up",
    next=NEXT,
    asks_remember=True,
)
VERIFY = VerifyPage([SMS, RING], next=NEXT, phone_hint="+98 ••••••••00")
INBOUND = replace(
    CODE,
    kind="inbound_call",
    lead=PAGE["lead_inbound_call"],
    is_call=True,
    code_length=None,
    dial=DIAL,
    dial_help=PAGE["dial_help"],
    dial_spoken="+98 21 0000 0000",
)
LEAD, _, LEAD_END = PAGE["lead_flash_call"].partition("{number}")
FLASH = replace(CODE, kind="flash_call", is_flash_call=True, lead=LEAD.rstrip(), lead_end=LEAD_END)
OVER = CodePage(
    "over",
    "+98 ••••••••00",
    "Example Shop",
    "expired",
    "made-up",
    next=NEXT,
    error=PAGE["expired_code"],
    choices=[RING],
)

PAGES = {
    "login": ("login.html", LOGIN),
    "login, one way": ("login.html", replace(LOGIN, choices=[SMS], next="")),
    "login, refused": ("login.html", replace(LOGIN, phone="0912", error=PAGE["invalid_phone"], invalid=True)),
    "login, signed in": ("login.html", replace(LOGIN, state="signed_in", user_hint="+98 ••••••••00")),
    "login, signed in without a number": ("login.html", replace(LOGIN, state="signed_in", next="")),
    "login, signed out": ("login.html", replace(LOGIN, notice=PAGE["signed_out"])),
    "login, last number": ("login.html", replace(LOGIN, last=LastNumber("+98 ••• 00", SMS))),
    "login, not the last number": (
        "login.html",
        replace(
            LOGIN,
            last=LastNumber("+98 ••• 00", RING),
            another=True,
            phone="0912",
            error=PAGE["invalid_phone"],
            invalid=True,
        ),
    ),
    "login, not configured": (
        "login.html",
        LoginPage([], error=PAGE["checks_not_set_up"], configured=False, status=503),
    ),
    "code": ("code.html", CODE),
    "code, wrong": ("code.html", replace(CODE, error="Incorrect code.", invalid=True)),
    "code, sent again": ("code.html", replace(CODE, notice="Code resent.", resend_in=60, resend_text="60 seconds")),
    "code, next channel": ("code.html", replace(CODE, next_channel=RING)),
    "code, held back": ("code.html", replace(CODE, dial=DIAL, dial_spoken="+98 21 0000 0000")),
    "flash call": ("code.html", replace(FLASH, code_length=4, caller_hint="+7 495 00")),
    "flash call, number unknown": ("code.html", replace(FLASH, code_length=None)),
    "inbound call": ("code.html", INBOUND),
    "inbound call, code beside": ("code.html", replace(INBOUND, second_kind="code", code_length=6)),
    "inbound call, flash call beside": (
        "code.html",
        replace(INBOUND, second_kind="flash_call", code_length=4, caller_hint="+749500"),
    ),
    "code, inbound call beside": (
        "code.html",
        replace(INBOUND, kind="code", lead=PAGE["lead_code"], is_call=False, second_kind="inbound_call", code_length=6),
    ),
    "proven": ("code.html", CodePage("proven", "+98 ••••••••00", "Example Shop", lead=PAGE["lead_proven"], next=NEXT)),
    "one more step": (
        "code.html",
        CodePage("more", "+98 ••••••••00", "Example Shop", lead=PAGE["lead_more"], choices=[CALL_US], next=NEXT),
    ),
    "inbound call, another phone called": ("code.html", replace(INBOUND, other_caller=True)),
    "over": ("code.html", OVER),
    "over, number in full": ("code.html", replace(OVER, phone="+98 912 000 0000")),
    "over, call": ("code.html", replace(OVER, is_call=True, error=PAGE["expired_call"])),
    "over, exhausted": ("code.html", replace(OVER, state="exhausted", error=PAGE["exhausted"])),
    "over, cancelled": ("code.html", replace(OVER, state="cancelled", error=PAGE["cancelled"])),
    "over, failed": ("code.html", replace(OVER, state="failed", error=PAGE["cannot_send"])),
    "over, blocked": ("code.html", replace(OVER, state="blocked", error=PAGE["too_many"])),
    "no answer": ("code.html", CodePage("over", "", "", "unavailable", error=PAGE["unavailable"], status=503)),
    "code, number in full": (
        "code.html",
        replace(CODE, phone="+98 912 000 0000", choices=MORE, resend_in=60, resend_text="60 seconds"),
    ),
    "code, to change": ("code.html", replace(CODE, begun_at="verify", asks_remember=False)),
    "code, new number": (
        "code.html",
        replace(CODE, begun_at="verify", asks_remember=False, number="+98 912 000 0007"),
    ),
    "inbound call, new number": (
        "code.html",
        replace(INBOUND, begun_at="verify", asks_remember=False, number="+98 912 000 0007"),
    ),
    "proven, new number": (
        "code.html",
        CodePage("proven", "+98 ••••••••07", "Example Shop", lead=PAGE["lead_proven"], number="+98 912 000 0007"),
    ),
    "over, to change": (
        "code.html",
        CodePage("over", "", "", "expired", next=NEXT, error=PAGE["expired_code"], begun_at="verify"),
    ),
    "login, in a region": (
        "login.html",
        replace(LOGIN, number=NumberHelp("0912 345 6789", local=True, region="IR"), choices=[SMS, *MORE]),
    ),
    "verify": ("verify.html", VERIFY),
    "verify, done": ("verify.html", replace(VERIFY, next="", state="verified", notice=PAGE["number_confirmed"])),
    "verify, no number": ("verify.html", replace(VERIFY, phone_hint="", choices=[SMS])),
    "verify, refused": ("verify.html", replace(VERIFY, phone="0912", error=PAGE["invalid_phone"], invalid=True)),
    "verify, taken": ("verify.html", replace(VERIFY, error=PAGE["phone_taken"])),
    "verify, signed in long ago": ("verify.html", replace(VERIFY, may_change=False, must_sign_in=True)),
    "verify, must sign in": (
        "verify.html",
        replace(VERIFY, may_change=False, must_sign_in=True, error=PAGE["sign_in_again"]),
    ),
    "verify, current number first": ("verify.html", replace(VERIFY, may_change=False)),
    "verify, number of this session": (
        "verify.html",
        replace(VERIFY, may_change=False, must_sign_in=True, may_confirm=False),
    ),
    "verify, no number, refused": (
        "verify.html",
        replace(VERIFY, phone_hint="", error=PAGE["invalid_phone"], invalid=True),
    ),
    "verify, no number, must sign in": (
        "verify.html",
        replace(VERIFY, phone_hint="", may_change=False, must_sign_in=True, error=PAGE["sign_in_again"]),
    ),
    "verify, not configured, no number": (
        "verify.html",
        replace(VERIFY, phone_hint="", choices=[], configured=False, error=PAGE["checks_not_set_up"]),
    ),
    "verify, not configured": (
        "verify.html",
        replace(VERIFY, choices=[], configured=False, error=PAGE["checks_not_set_up"]),
    ),
    "logout": ("logout.html", LogoutPage(next=NEXT)),
    "form refused": ("refused.html", Page(error=PAGE["form_too_large"], status=413)),
}
#: Used by several pages.
PARTS = (
    "also_call.html",
    "captcha.html",
    "change_link.html",
    "choices.html",
    "method_button.html",
    "method_icon.html",
    "next_channel.html",
    "number.html",
    "other_caller.html",
    "other_methods.html",
    "remember.html",
)


def every_page(test: Callable[..., None]) -> Callable[..., None]:
    return in_one_test(pytest.mark.parametrize("kind", PAGES)(test))


def every_template(test: Callable[..., None]) -> Callable[..., None]:
    return in_one_test(pytest.mark.parametrize("name", NAMES)(test))


class Components(HTMLParser):
    """A page as parsed by a browser: tags with their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.all: list[object] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.all.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.all.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(" ".join(data.split()))
            self.all.append(self.texts[-1])

    def find(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [a for name, a in self.tags if name == tag and attributes.items() <= a.items()]


def context(page: object, brand: Brand) -> dict[str, object]:
    return {"page": page, "urls": URLS, "site_name": "Example Shop", "brand": brand, "lang": "en", "dir": "ltr"}


def by_django(name: str, page: object, brand: Brand = NO_BRAND) -> str:
    # Without localisation Django's engine needs no settings.
    values = Context({**context(page, brand), "csrf_field": mark_safe(CSRF)}, use_l10n=False)
    return DJANGO.get_template(f"phone_verify/{name}").render(values)


def by_jinja(name: str, page: object, brand: Brand = NO_BRAND) -> str:
    template = JINJA.get_template(f"phone_verify/{name}")
    return template.render(**context(page, brand), csrf_field=markupsafe.Markup(CSRF))


def page_of(kind: str) -> Components:
    return Components(by_jinja(*PAGES[kind]))


def test_both_adapters_have_the_same_templates():
    pages = ["base.html", "code.html", "login.html", "logout.html", "refused.html", "verify.html"]
    assert sorted([*pages, *PARTS]) == NAMES
    # Flask's macros are template tags in Django.
    assert sorted(path.name for path in (OF_FLASK / "phone_verify").iterdir()) == sorted([*NAMES, "macros.html"])


@every_page
def test_both_engines_render_the_same_page(kind):
    name, page = PAGES[kind]
    assert Components(by_django(name, page)).all == Components(by_jinja(name, page)).all


@pytest.mark.parametrize("render", [by_django, by_jinja])
def test_visitor_input_is_escaped(render):
    nasty = "\"'><script>alert(1)</script>"
    text = render("login.html", replace(LOGIN, phone=nasty, next=nasty, error=nasty))
    parts = Components(text)
    assert parts.find("input", name="phone", value=nasty)
    assert len(parts.find("input", name="next", value=nasty)) == 1
    assert len(parts.find("script")) == 2
    assert nasty in parts.texts


@every_template
def test_templates_use_only_common_syntax(name):
    text = SOURCES[name]
    words = re.findall(r"{%\s*(\w+)", text)
    both = "extends block endblock if elif else endif for endfor include with endwith"
    assert set(words) <= set(both.split())
    assert set(re.findall(r"\|\s*(\w+:?)", " ".join(re.findall(r"{[{%].*?[}%]}", text)))) <= {"urlencode"}
    assert "loop" not in text
    assert not re.search(r"{{[^}]*[(\[]", text)


@every_template
def test_templates_hold_no_literal_text(name):
    bare = Components(re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", "", SOURCES[name]))
    spoken = [attributes.get(a) or "" for _, attributes in bare.tags for a in ("alt", "aria-label", "title", "value")]
    assert not [text for text in bare.texts + spoken if re.search(r"[^\W\d_]", text)]
    # A placeholder is an example of a number.
    assert not [
        text for _, attributes in bare.tags if re.search(r"[^\W_]", text := attributes.get("placeholder") or "")
    ]


def test_every_text_named_by_a_template_exists():
    named = set(re.findall(r"page\.text\.(\w+)", "".join(SOURCES.values())))
    assert named <= set(PAGE)
    # Jinja2 looks up an attribute before a key.
    assert not [key for key in PAGE if hasattr(PAGE, key)]


@every_page
def test_pages_pass_a_strict_content_security_policy(kind):
    parts = page_of(kind)
    assert not parts.find("style")
    assert [attributes["src"] for attributes in parts.find("script")] == [URLS["client"], URLS["script"]]
    assert [a["href"] for a in parts.find("link")] == [URLS["style"]]
    for _, attributes in parts.tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    assert all((a["src"] or "").startswith("data:image/svg+xml") for a in parts.find("img"))


@every_page
def test_every_form_has_its_token_and_next(kind):
    parts = page_of(kind)
    forms = parts.find("form")
    assert all(form["method"] == "post" and form["action"] in URLS.values() for form in forms)
    assert len(parts.find("input", name="csrf_token")) == len(parts.find("input", name="next")) == len(forms)


@every_page
def test_ids_are_unique_and_references_resolve(kind):
    parts = page_of(kind)
    ids = [attributes["id"] for _, attributes in parts.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in parts.tags:
        assert set((attributes.get("aria-describedby") or "").split()) <= set(ids)
        assert attributes.get("for", ids[0] if ids else None) in [*ids, None]


def test_next_required_method_is_one_press_away() -> None:
    parts = page_of("one more step")
    assert PAGE["more_title"] in parts.texts
    assert [field["value"] for field in parts.find("input", name="channel")] == ["inbound_call"]
    assert not parts.find("input", name="code")


@pytest.mark.parametrize("called", [True, False])
def test_call_of_another_phone_is_announced_with_the_number_to_call_from(called: bool) -> None:
    parts = page_of("inbound call, another phone called" if called else "inbound call")
    [place] = [attributes for _, attributes in parts.tags if "data-pv-other-caller" in attributes]
    assert ("hidden" in place) is not called
    assert parts.texts.index(PAGE["other_caller"]) < parts.texts.index(
        "+98 ••••••••00", parts.texts.index(PAGE["other_caller"])
    )


@pytest.mark.parametrize(("kind", "field"), [("login, refused", "phone"), ("code, wrong", "code")])
def test_error_is_announced_and_linked_to_its_field(kind, field):
    parts = page_of(kind)
    assert parts.find("p", id="pv-error", role="alert")
    [found] = parts.find("input", name=field)
    assert found["aria-invalid"] == "true"
    assert "pv-error" in (found["aria-describedby"] or "").split()


@every_page
def test_error_and_notice_are_shown_once(kind):
    page = PAGES[kind][1]
    parts = page_of(kind)
    for told, kind_of in ((getattr(page, "error", ""), "pv-error"), (getattr(page, "notice", ""), "pv-notice")):
        assert parts.texts.count(told) == (1 if told else 0)
        assert len(parts.find("p", **{"class": f"pv-message {kind_of}"})) == bool(told)


def test_number_error_is_shown_at_its_field():
    text = by_jinja(*PAGES["verify, refused"])
    assert text.index("<details") < text.index('id="pv-error"') < text.index('name="phone"')
    text = by_jinja(*PAGES["verify, taken"])
    assert text.index('id="pv-error"') < text.index("<form")


@every_page
def test_title_of_an_error_page_says_so(kind: str) -> None:
    name, page = PAGES[kind]
    [title] = re.findall("<title>(.*?)</title>", by_jinja(name, page))
    assert title.startswith("Error: ") == bool(getattr(page, "error", ""))


@every_page
def test_message_has_the_focus_after_an_error(kind: str) -> None:
    focused = [a for _, a in page_of(kind).tags if "autofocus" in a]
    if getattr(PAGES[kind][1], "error", ""):
        assert [(a.get("id"), a.get("tabindex")) for a in focused] == [("pv-error", "-1")]


def test_code_page_has_three_tiers() -> None:
    name, page = PAGES["code, number in full"]
    text = by_jinja(name, page)
    assert text.index("</form>") < text.index("data-pv-resend") < text.index("<details")
    folded = text[text.index("<details") :]
    assert len(re.findall(r'name="channel"', folded)) == len(page.choices)
    assert "channel" not in text[: text.index("<details")].replace("data-pv", "")
    assert not Components(by_jinja(name, replace(page, choices=[]))).find("details", **{"class": "pv-methods"})


def test_number_is_shown_in_full_with_a_link_to_change_it() -> None:
    parts = page_of("code, number in full")
    assert "+98 912 000 0000" in parts.texts
    assert not [text for text in parts.texts if "•" in text]
    [link] = parts.find("a", **{"class": "pv-inline"})
    assert link["aria-label"] == PAGE["other_number"]


@pytest.mark.parametrize(
    ("kind", "length", "submits"),
    [("code", "6", True), ("flash call", "4", True), ("code, wrong", "6", False), ("code, new number", "6", False),
     ("flash call, number unknown", None, False)],
)  # fmt: skip
def test_script_submits_only_a_code_of_known_length(kind: str, length: str | None, submits: bool) -> None:
    [field] = page_of(kind).find("input", name="code")
    assert field.get("data-pv-length") == length
    assert ("data-pv-submit" in field) == submits


def test_resend_is_possible_without_script() -> None:
    parts = page_of("code, number in full")
    [button] = [a for _, a in parts.tags if "data-pv-resend" in a]
    assert "disabled" not in button
    assert button["data-pv-resend"] == "60"
    assert len(parts.find("noscript")) == 1
    assert not page_of("code").find("noscript")


def test_choices_have_icon_time_and_recommendation() -> None:
    parts = page_of("login, in a region")
    assert len(parts.find("svg", **{"class": "pv-method-icon"})) == 4
    assert parts.texts.count(PAGE["recommended"]) == 1
    assert len([text for text in parts.texts if "Usually within" in text]) == 4


@pytest.mark.parametrize("render", [by_django, by_jinja])
def test_brand_is_shown_if_it_is_set(render: Callable[..., str]) -> None:
    brand = Brand(
        url="/home/", logo="/logo.svg", icon="/icon.svg", color="#5b21b6", terms_url="/t/", privacy_url="/p/",
        help_url="/h/", cost_notice=True,
    )  # fmt: skip
    login, code = Components(render("login.html", LOGIN, brand)), Components(render("code.html", CODE, brand))
    assert login.find("a", href="/home/", **{"class": "pv-home"})
    assert login.find("img", src="/logo.svg", alt="Example Shop")
    assert login.find("link", rel="icon", href="/icon.svg")
    assert login.find("link", rel="stylesheet", href=URLS["brand_style"])
    assert login.find("meta", name="theme-color", content="#5b21b6")
    assert login.find("a", href="/t/")
    assert login.find("a", href="/p/")
    assert PAGE["cost"] in login.texts
    assert code.find("a", href="/h/")
    plain = Components(render("login.html", LOGIN))
    assert not plain.find("footer")
    assert PAGE["cost"] not in plain.texts


def test_qr_code_stands_before_the_number() -> None:
    text = by_jinja(*PAGES["inbound call"])
    assert text.index("<img") < text.index('href="tel:')
    assert Components(text).find("button", **{"data-pv-copy": DIAL["number"]})


def test_refused_resend_does_not_call_the_code_wrong():
    parts = Components(by_jinja("code.html", replace(CODE, error="Too many attempts.", status=429)))
    assert "aria-invalid" not in parts.find("input", name="code")[0]


def test_notice_has_the_status_role():
    assert page_of("code, sent again").find("p", role="status")


def test_channel_choice_is_shown_only_if_there_is_one():
    assert [a["value"] for a in page_of("login").find("input", type="radio")] == ["sms", "flash_call"]
    assert [a["value"] for a in page_of("login").find("input", type="radio") if "checked" in a] == ["sms"]
    assert not page_of("login, one way").find("input", type="radio")
    assert not page_of("login, not configured").find("form")


def test_code_field_supports_autofill():
    for kind in ("code", "flash call"):
        [field] = page_of(kind).find("input", name="code")
        assert (field["autocomplete"], field["inputmode"], field["dir"]) == ("one-time-code", "numeric", "ltr")
        assert "maxlength" not in field
    # A message may use the autofill wait of the browser; a call may not.
    assert "data-pv-otp" in page_of("code").find("input", name="code")[0]
    assert "data-pv-otp" not in page_of("flash call").find("input", name="code")[0]


def test_caller_number_is_shown_with_blank_last_digits():
    parts = page_of("flash call")
    assert "+7 495 00" in parts.texts
    assert len([a for _, a in parts.tags if "data-pv-place" in a]) == 4


@pytest.mark.parametrize(("kind", "form"), [("code", "code"), ("inbound call", "called"), ("proven", "called")])
def test_login_form_has_one_remember_box(kind, form):
    name, page = PAGES[kind]
    text = by_jinja(name, replace(page, asks_remember=True))
    asked = Components(text)
    assert len(asked.find("input", name="asks_remember", value="1")) == 1
    [box] = asked.find("input", type="checkbox", name="remember", value="1")
    assert "checked" in box
    [signing_in] = [part for part in re.findall("<form.*?</form>", text, re.S) if 'name="remember"' in part]
    assert f'name="{form}"' in signing_in
    [box] = Components(by_jinja(name, replace(page, asks_remember=True, remember=False))).find("input", name="remember")
    assert "checked" not in box


def test_signed_in_user_sees_no_remember_box():
    assert not page_of("code, to change").find("input", name="remember")
    assert not page_of("code, to change").find("input", name="asks_remember")


def test_current_number_is_a_button_and_another_a_field():
    parts = page_of("verify")
    assert [a["value"] for a in parts.find("input", name="confirm")] == ["1"]
    assert len(parts.find("input", name="phone")) == 1
    assert "open" not in parts.find("details")[0]
    assert "open" in page_of("verify, refused").find("details")[0]
    assert not page_of("verify, no number").find("input", name="confirm")
    assert not page_of("verify, no number").find("details")


@pytest.mark.parametrize("kind", ["verify, signed in long ago", "verify, must sign in"])
def test_stale_session_is_sent_to_login_and_back(kind):
    parts = page_of(kind)
    assert not parts.find("input", name="phone")
    assert len(parts.find("input", name="confirm")) == 1
    [link] = parts.find("a")
    address = urlsplit(link["href"] or "")
    assert address.path == "/accounts/login/"
    back = urlsplit(parse_qs(address.query)["next"][0])
    assert back.path == "/phone/verify/"
    assert parse_qs(back.query) == {"next": [NEXT]}


def test_current_number_is_verified_before_a_change() -> None:
    parts = page_of("verify, current number first")
    assert not parts.find("input", name="phone")
    assert not parts.find("a")
    assert len(parts.find("input", name="confirm")) == 1
    assert PAGE["verify_first"] in parts.texts


def test_unverified_session_leads_to_login() -> None:
    parts = page_of("verify, number of this session")
    assert not parts.find("input", name="confirm")
    assert len(parts.find("a")) == 1
    assert PAGE["sign_in_first"] in parts.texts


@pytest.mark.parametrize("kind", ["code, new number", "inbound call, new number", "proven, new number"])
def test_page_asks_before_a_new_number_is_used(kind: str) -> None:
    parts = page_of(kind)
    assert "+98 912 000 0007" in parts.texts
    assert PAGE["change_question"] in parts.texts
    assert not [a for _, a in parts.tags if "data-pv-called" in a], "no script submits the form"
    assert all(a.get("data-pv-otp") in (None, "fill") for _, a in parts.tags)


def test_other_sessions_are_ended_by_a_button() -> None:
    assert len(page_of("verify").find("input", name="sign_out_others")) == 1


def test_verification_of_current_number_leads_back_there():
    for kind in ("code, to change", "over, to change"):
        assert [a["href"] for a in page_of(kind).find("a")] == ["/phone/verify/?next=/basket%3Fa%3D1%26b%3D%272%27"]


def test_number_is_shown_in_national_format():
    for kind, example in (("login", "+1 201-555-0123"), ("login, in a region", "0912 345 6789")):
        parts = page_of(kind)
        [field] = parts.find("input", name="phone")
        assert field["placeholder"] == example
        assert example in parts.texts
        assert (field["type"], field["inputmode"], field["autocomplete"], field["dir"]) == ("tel", "tel", "tel", "ltr")
        assert (PAGE["phone_abroad"] in parts.texts) == (kind == "login, in a region")


def test_inbound_call_shows_link_qr_and_button_and_is_polled():
    parts = page_of("inbound call")
    assert parts.find("a", href="tel:+982100000000")
    assert parts.find("img", src=DIAL["qr"])
    assert parts.find("input", name="called", value="1")
    assert not parts.find("input", name="code")
    assert parts.find("div", **{"data-pv-poll": "/phone/v1/verifications/made-up"})


@pytest.mark.parametrize("render", [by_django, by_jinja])
def test_what_the_caller_hears_stands_below_the_line(render) -> None:
    text = render("code.html", replace(INBOUND, dial_help="The call is answered by an announcement. Wait for it."))
    assert '<p class="pv-help">The call is answered by an announcement. Wait for it.</p>' in text


def test_verified_number_leaves_one_button():
    parts = page_of("proven")
    assert len(parts.find("form")) == len(parts.find("button")) == len(parts.find("input", name="called")) == 1
    assert not parts.find("input", name="code")


@in_one_test
@pytest.mark.parametrize("kind", [kind for kind in PAGES if "inbound call" not in kind])
def test_only_an_inbound_call_is_polled(kind):
    assert not [a for _, a in page_of(kind).tags if "data-pv-poll" in a]


@pytest.mark.parametrize("kind", ["inbound call, code beside", "code, inbound call beside"])
def test_page_shows_a_code_field_and_a_number_to_call(kind):
    parts = page_of(kind)
    assert len(parts.find("input", name="code")) == 1
    assert len(parts.find("a", href=DIAL["uri"])) == 1
    assert len(parts.find("input", type="hidden", name="called", value="1")) == 1
    assert len(parts.find("input", name="asks_remember")) == 1
    assert len([a for _, a in parts.tags if "data-pv-poll" in a]) == 1


def test_channel_can_be_changed_and_next_is_kept():
    parts = page_of("code")
    assert len(parts.find("input", name="resend", value="1")) == 2
    assert parts.find("input", type="hidden", name="channel", value="flash_call")
    assert parts.find("a", href="/phone/login/?next=/basket%3Fa%3D1%26b%3D%272%27")


@every_template
def test_site_can_override_block_by_block(name):
    blocks = set(re.findall(r"{% block (\w+) %}", SOURCES[name]))
    if name in PARTS:
        assert not blocks  # a separate file
        return
    assert {"title", "content"} <= blocks
    if name == "base.html":
        assert {"head", "style", "script", "header", "heading", "messages", "footer"} <= blocks
    else:
        assert {"heading", "help"} | ({"form", "submit"} if name != "refused.html" else set()) <= blocks
    if name in ("login.html", "verify.html"):
        assert {"number", "choices"} <= blocks


def test_style_sheet_is_small_and_supports_rtl():
    style = asset("phone_verify.css")
    assert style is not None
    assert len(style[0]) < 17_500
    sided = r"(?<![\w-])(left|right|(margin|padding|border)-(left|right)[\w-]*)\s*:|text-align:\s*(left|right)"
    assert not re.search(sided, style[0].decode())
    # Nothing is loaded from another host.
    assert not re.search(r"url\(|@import|https?:", style[0].decode())


@pytest.mark.parametrize(
    ("channels", "promised"), [(["sms"], True), (["sms", "flash_call"], False), (["inbound_call"], False)]
)
def test_lead_promises_a_code_only_if_every_channel_has_one(channels: list[str], promised: bool) -> None:
    page = replace(LOGIN, choices=[Choice(name, name, False) for name in channels])
    assert (page.lead == PAGE["login_lead"]) == promised
    assert (replace(VERIFY, choices=page.choices).lead == PAGE["login_lead"]) == promised


@pytest.mark.parametrize("render", [by_django, by_jinja])
def test_number_stands_within_the_lead_of_a_flash_call(render):
    lead, _, end = PAGE["lead_flash_call"].partition("{number}")
    texts = Components(render("code.html", replace(CODE, kind="flash_call", lead=lead.rstrip(), lead_end=end))).texts
    assert [lead.strip(), CODE.phone_hint, end.strip()] == texts[texts.index(lead.strip()) :][:3]
