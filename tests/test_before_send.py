"""The documented captcha over real HTTP, on both example sites: pages and API, with a local siteverify."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from phone_verify.sandbox import SandboxServer
from tests.cases import in_one_test

from .clients import Answer, HttpCarrier
from .django_adapter.projects import files
from .scenarios import SETTINGS, Stage, refused
from .servers import environment, gunicorn, uvicorn

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "before_send.md"
PHONE = "+79161230000"
SECRET, ANSWER, FIELD = "the-secret-of-the-site", "solved", "cf-turnstile-response"
TEXT = "Please confirm that you are human, then try again."
#: Under ASGI the asynchronous version of the example.
TARGETS = [
    pytest.param(("django", gunicorn, "captcha"), id="django"),
    pytest.param(("flask", gunicorn, "captcha"), id="flask"),
    pytest.param(("django", uvicorn, "async_captcha"), id="django-asgi", marks=pytest.mark.slow),
    pytest.param(("flask", uvicorn, "async_captcha"), id="flask-asgi", marks=pytest.mark.slow),
]


_numbers = itertools.count(79161230001)


def new_phone() -> str:
    """Return an unused number of a region that the driver reaches."""
    return f"+{next(_numbers)}"


@dataclass
class SiteVerify:
    """A captcha's service: an answer is right once, and `is_broken` makes the service fail."""

    asked: list[dict[str, str]] = field(default_factory=list)
    is_broken: bool = False

    def answer(self, form: dict[str, str]) -> bytes:
        self.asked.append(form)
        right = form.get("secret") == SECRET and form.get("response") == ANSWER
        return b"out of order" if self.is_broken else json.dumps({"success": right}).encode()


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[SiteVerify, str]]:
    kept = SiteVerify()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer = kept.answer({name: values[0] for name, values in parse_qs(body).items()})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept, f"http://127.0.0.1:{server.server_address[1]}/siteverify"
        server.shutdown()


@pytest.fixture(scope="module", params=TARGETS)
def stage(
    request: pytest.FixtureRequest,
    sandbox: SandboxServer,
    service: tuple[SiteVerify, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    framework, server, module = request.param
    data = tmp_path_factory.mktemp(framework)
    found = dict(files(PAGE.read_text("utf-8")))[f"{module}.py"]
    there = "https://challenges.cloudflare.com/turnstile/v0/siteverify"
    assert there in found
    (data / f"{module}.py").write_text(found.replace(there, service[1]), "utf-8")
    settings = {
        **SETTINGS,
        "before_send": f"{module}.check",
        "captcha_sources": "https://challenges.cloudflare.com",
        "texts": str(data / "texts.json"),
        "android_hash": "signup=FA+9qCX9VSu",
        "public_url": "http://shop.example",
        "frame_ancestors": "https://partner.example,https://*.partner.example:8443",
        "trusted_origins": "https://app.example,capacitor://localhost",
    }
    (data / "texts.json").write_text(json.dumps({"*": {"fa": "کد {site}:\n{code}"}}), "utf-8")
    env = environment(framework, data, sandbox.dsn, settings)
    # A driver that sends our text.
    env["PHONE_VERIFY_SMS"] = f"{sandbox.dsn.replace('sandbox://', 'ssms://API_KEY@')}?tls=off"
    path = os.pathsep.join(filter(None, [str(data), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with server(framework, {**env, "PYTHONPATH": path, "CAPTCHA_SECRET": SECRET}) as url:
        yield Stage(lambda: HttpCarrier(url), sandbox)


@pytest.fixture
def captcha(service: tuple[SiteVerify, str]) -> Iterator[SiteVerify]:
    kept = service[0]
    kept.asked.clear()
    yield kept
    kept.is_broken = False


def start(stage: Stage, phone: str, extra: object = None, **fields: str) -> Answer:
    given = {} if extra is None else {"extra": extra}
    return stage.browser().call("POST", "v1/verifications", {"phone": phone, "channel": "sms", **given, **fields})


def test_api_sends_only_with_the_captchas_answer(stage: Stage, captcha: SiteVerify) -> None:
    phone = new_phone()
    assert refused(start(stage, phone), 403, "send_refused")["fields"] == ["extra"]
    problem = refused(start(stage, phone, {FIELD: "guessed"}), 403, "send_refused")
    assert problem["detail"] == TEXT
    assert stage.arrived(phone) == 0
    assert start(stage, phone, {FIELD: ANSWER}).status == 201
    assert stage.arrived(phone) == 1
    assert {asked["secret"] for asked in captcha.asked} == {SECRET}


@pytest.mark.parametrize(
    "extra",
    [
        "text",
        ["a"],
        {"a": 1},
        {"a": None},
        {"a b": "c"},
        {"": "c"},
        {"a": "\ud800"},
        {"a": "x" * 8193},
        {str(n): "" for n in range(11)},
    ],
    ids=["text", "list", "number", "null", "space", "nameless", "surrogate", "long", "many"],
)
def test_malformed_extra_is_refused(stage: Stage, captcha: SiteVerify, extra: object) -> None:
    assert refused(start(stage, PHONE, extra), 400, "invalid_request")["fields"] == ["extra"]
    assert captcha.asked == []


def test_broken_captcha_sends_nothing(stage: Stage, captcha: SiteVerify) -> None:
    captcha.is_broken = True
    phone = new_phone()
    answer = start(stage, phone, {FIELD: ANSWER})
    assert refused(answer, 503, "unavailable")
    assert ANSWER not in answer.text
    assert stage.arrived(phone) == 0


def test_page_keeps_the_number_and_shows_the_refusal(stage: Stage, captcha: SiteVerify) -> None:
    phone, browser = new_phone(), stage.browser()
    page = browser.follow(browser.post_form("/phone/login/", phone=phone, channel="sms"))
    assert TEXT in page.text
    assert f'value="{phone}"' in page.text
    assert stage.arrived(phone) == 0
    posted = browser.post_form("/phone/login/", phone=phone, channel="sms", **{FIELD: ANSWER})
    assert posted.location == "/phone/code/"
    assert stage.arrived(phone) == 1
    assert "csrf" not in str(captcha.asked)


def test_broken_captcha_is_not_the_visitors_fault(stage: Stage, captcha: SiteVerify) -> None:
    captcha.is_broken = True
    phone, browser = new_phone(), stage.browser()
    fields = {FIELD: ANSWER}
    page = browser.follow(browser.post_form("/phone/login/", phone=phone, channel="sms", **fields))
    assert "send a code right now" in page.text
    assert 'aria-invalid="true"' not in page.text


def test_pages_may_load_the_widget(stage: Stage) -> None:
    policy = stage.browser().get("/phone/login/").headers["content-security-policy"]
    for name in ("script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-src"):
        assert f"{name} https://challenges.cloudflare.com;" in policy


# The messages of the same sites.


def last_line(stage: Stage, phone: str) -> str:
    """Return the last line of the newest SMS, with `CODE` in place of its code."""
    return text_of(stage, phone).splitlines()[-1].replace(stage.code(phone), "CODE")


def text_of(stage: Stage, phone: str) -> str:
    handset = HttpCarrier(stage.sandbox.url).send("GET", f"/api/handsets/{quote(phone)}", b"", {}).json()
    return str(handset["messages"][-1]["text"])


def test_message_has_the_sites_own_text(stage: Stage, captcha: SiteVerify) -> None:
    phone = new_phone()
    assert start(stage, phone, {FIELD: ANSWER}, locale="fa").status == 201
    assert text_of(stage, phone).startswith("کد shop.example:\n")
    assert last_line(stage, phone) == "@shop.example #CODE"


def test_message_for_an_app_ends_in_its_hash(stage: Stage, captcha: SiteVerify) -> None:
    phone = new_phone()
    assert start(stage, phone, {FIELD: ANSWER}, purpose="signup").status == 201
    assert last_line(stage, phone) == "FA+9qCX9VSu"


@pytest.mark.parametrize(
    ("origin", "line"),
    [("https://app.example", "@app.example #CODE"), ("capacitor://localhost", "@shop.example #CODE")],
)
def test_message_names_the_host_of_a_trusted_page(stage: Stage, captcha: SiteVerify, origin: str, line: str) -> None:
    phone, fields = new_phone(), {"extra": {FIELD: ANSWER}, "channel": "sms"}
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    answer = stage.browser().call("POST", "v1/verifications", {"phone": phone, **fields}, headers=headers)
    assert answer.status == 201
    assert last_line(stage, phone) == line


@in_one_test
@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("https://partner.example", "@partner.example #CODE @shop.example"),
        ("https://evil.example", "@shop.example #CODE"),
        ("http://partner.example", "@shop.example #CODE"),
        ("https://partner.example.evil.example", "@shop.example #CODE"),
        ("https://user@partner.example", "@shop.example #CODE"),
        ("https://[", "@shop.example #CODE"),
        ("https://eu.partner.example:8443", "@eu.partner.example #CODE @shop.example"),
        ("https://a[v1.evil.example].partner.example:8443", "@shop.example #CODE"),
        (f"https://{'a.' * 40}partner.example:8443", "@shop.example #CODE"),
        ("https://evil.example x.partner.example:8443", "@shop.example #CODE"),
        ("https://evil.example\u2028.partner.example:8443", "@shop.example #CODE"),
        ("https://evil.example\\.partner.example:8443", "@shop.example #CODE"),
        ("null", "@shop.example #CODE"),
    ],
)
def test_message_names_the_frames_top_page_only_if_listed(
    stage: Stage, captcha: SiteVerify, top: str, line: str
) -> None:
    phone, browser = new_phone(), stage.browser()
    fields = {"phone": phone, "channel": "sms", "frame_top": top, FIELD: ANSWER}
    assert browser.post_form("/phone/login/", **fields).location == "/phone/code/"
    assert last_line(stage, phone) == line
