"""A site's responses, step by step, reduced to what is equal on every framework and server.

`told` plays every step against one site and returns its responses. Each step also has an expected result, so that sites
with the same error fail too. Random values are named in the order of their appearance, and remaining times are whole
minutes, rounded up.

Omitted are the framework's parts: its cookies, the texts of its error pages, how it prevents caching, methods of pages
other than GET, HEAD and POST, and the status of a form without its token (Django's is 403, Flask-WTF's is 400).

The site is configured by `settings`, with a separate phone network and databases.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from phone_verify.sandbox import SandboxServer
from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.protocols import PROVIDERS

from . import scenarios
from .clients import Answer, Browser, Carrier, hidden_token
from .scenarios import Stage, wrong

MOUNT = "/phone/"
_WEBHOOK_SECRET = "a-secret-of-webhooks-0123456789"
_FORM = "application/x-www-form-urlencoded"
#: A generated code; other texts, and digits of another count, come from the transcript itself.
_CODE = re.compile(r"('code': ')[0-9]{4,6}(')", re.ASCII)


def settings(network: SandboxServer) -> dict[str, str]:
    """Return the site's settings. Russian numbers are called by `ssms`, whose webhooks must be trusted."""
    lines = f"ssms://KEY@{network.url.removeprefix('http://')}?tls=off {network.dsn}"
    return {**scenarios.SETTINGS, "inbound_call": lines, "webhook_secret": _WEBHOOK_SECRET}


@dataclass(frozen=True)
class Step:
    """The request, and the parts of the response that must be equal."""

    asked: str
    status: int
    headers: Mapping[str, object] = field(default_factory=dict)
    cookies: Mapping[str, object] = field(default_factory=dict)
    body: str = ""

    def __str__(self) -> str:
        return "\n".join([self.asked, f"  {self.status} {self.headers} {self.cookies}", f"  {self.body}"])


class Names:
    """Stable names for all random values."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def of(self, kind: str, value: str) -> str:
        """Return the name of this value: the same for the same value."""
        if (kind, value) not in self._known:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[kind, value] = f"<{kind}-{self._counts[kind]}>"
        return self._known[kind, value]

    def within(self, text: str) -> str:
        """Return the text with names for the known values, proofs before the ids that they begin with."""
        for (kind, value), name in sorted(self._known.items(), key=lambda known: -len(known[0][1])):
            if kind != "user":  # whose id is a short number
                text = text.replace(value, name)
        return _CODE.sub(r"\1<code>\2", text)


class Transcript:
    """The responses of one site so far."""

    def __init__(self, carrier: Callable[[], Carrier], network: SandboxServer) -> None:
        self.stage, self.network = Stage(carrier, network), network
        self.names = Names()
        self.steps: list[Step] = []
        self._phones = 0

    def visitor(self) -> Visitor:
        """Return a new visitor, without cookies."""
        return Visitor(self, self.stage.carrier())

    def phone(self, pattern: str = "+98912000{:04}") -> str:
        """Return an unused number: an invented one, the same for every site."""
        self._phones += 1
        return pattern.format(5000 + self._phones)

    def code(self, phone: str) -> str:
        """Return the newest code of this handset."""
        return self.stage.code(phone)

    def line(self, phone: str) -> str:
        """Return the number that this phone must call."""
        wait = self.network.sandbox.network.waiting_for(phone)
        assert wait is not None
        return wait.line

    def note(self, expected: str, asked: str, answer: Answer, *, page: bool) -> None:
        """Record this step. AssertionError if the response is not as expected."""
        asked = f"{len(self.steps) + 1}. {self.names.within(asked)}"
        step = self._page(asked, answer) if page else self._call(asked, answer)
        self.steps.append(step)
        problem = answer.headers.get("content-type", "") == "application/problem+json" and answer.body
        got = f"{answer.status} {answer.json()['code']}" if problem else str(answer.status)
        assert got == expected, f"not {expected}:\n{step}"

    def _call(self, asked: str, answer: Answer) -> Step:
        named = ("content-type", "cache-control", "x-content-type-options")
        headers = {name: answer.headers.get(name) for name in named} | self._shared_headers(answer)
        body = answer.text
        if "json" in answer.headers.get("content-type", "") and body:
            document = json.loads(body)
            # Byte by byte, except for the names: spaces, escapes and the order of the fields are equal.
            assert body == json.dumps(document, ensure_ascii=False), body
            body = json.dumps(self._named(document), ensure_ascii=False)
        return Step(asked, answer.status, headers, self._cookies(answer), body)

    def _page(self, asked: str, answer: Answer) -> Step:
        headers = {"content-type": answer.headers.get("content-type")} | self._shared_headers(answer)
        if "pv-card" not in answer.text:  # a redirect, or a page of the framework's own
            return Step(asked, answer.status, headers, self._cookies(answer))
        headers["no-store"] = "no-store" in answer.headers.get("cache-control", "")
        for name in ("x-content-type-options", "x-frame-options", "referrer-policy"):
            headers[name] = answer.headers.get(name)
        seen = _Seen()
        seen.feed(answer.text)
        body = self.names.within(json.dumps(seen.told(), ensure_ascii=False))
        return Step(asked, answer.status, headers, self._cookies(answer), body)

    def _shared_headers(self, answer: Answer) -> dict[str, object]:
        found: dict[str, object] = {}
        if "allow" in answer.headers:
            found["allow"] = sorted(name.strip() for name in answer.headers["allow"].split(","))
        if "www-authenticate" in answer.headers:
            found["www-authenticate"] = answer.headers["www-authenticate"]
        if "retry-after" in answer.headers:
            found["retry-after"] = _minutes(int(answer.headers["retry-after"]))
        if "location" in answer.headers:
            found["location"] = self.names.within(answer.location)
        return found

    def _named(self, value: Any, key: str = "", of: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._named(inner, name, key) for name, inner in value.items()}
        if isinstance(value, int) and key in ("expires_in", "resend_in", "retry_after"):
            return _minutes(value)
        if not isinstance(value, str) or not value:
            return value
        if key == "id" and of == "user":
            return self.names.of("user", value)
        if key in ("id", "secret", "proof", "token"):
            return self.names.of(key, value)
        if of == "dial":
            return "<line>" if key == "number" else value.partition(":" if key == "uri" else ",")[0]
        return "<caller>" if key == "caller_hint" else value

    def _cookies(self, answer: Answer) -> dict[str, object]:
        found: dict[str, object] = {}
        for name in ("phone_verify", "phone_verify_device"):
            if name not in answer.cookies:
                continue
            morsel = SimpleCookie(answer.cookies[name])[name]
            flags = {flag: morsel[flag] for flag in ("max-age", "path", "httponly", "samesite", "secure", "domain")}
            if morsel["max-age"] == "0":
                found[name] = ("taken away", morsel["path"])
            elif name == "phone_verify":
                pairs = [entry.partition(".") for entry in morsel.value.split("~")]
                held = [(self.names.of("id", id), self.names.of("secret", secret)) for id, _, secret in pairs]
                found[name] = (held, flags)
            else:
                found[name] = flags
        return found


def _minutes(seconds: int) -> str:
    return f"{math.ceil(seconds / 60)} min"


class _Seen(HTMLParser):
    """Return the texts of some elements of a page, and its forms with their fields."""

    _WORDS = ("title", "h1", "legend", "label", "button", "summary")

    def __init__(self) -> None:
        super().__init__()
        self._told: list[tuple[str, str]] = []
        self._open: list[tuple[str, int]] = []
        #: Within the form of the example sites that chooses the language, which each framework has in its own way.
        self._site_form = False

    def told(self) -> Sequence[tuple[str, str]]:
        """Return pairs of element kind and text, in the order of the page."""
        return [(kind, re.sub(r"\s+", " ", text).strip()) for kind, text in self._told]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._site_form = self._site_form or "site-languages" in given.get("class", "")
        if self._site_form:
            return
        if tag == "html":
            self._told.append(("html", f"{given.get('lang')} {given.get('dir')}"))
        elif tag == "form":
            self._told.append(("form", f"{given.get('method')} {given.get('action')}"))
        elif tag == "input" and given["name"] not in ("csrfmiddlewaretoken", "csrf_token"):
            ticked = " ticked" if "checked" in given else ""
            self._told.append(("field", f"{given['name']} {given.get('type')} {given.get('value', '')}{ticked}"))
        elif tag == "a":
            href = given.get("href", "")
            self._told.append(("link", "tel" if href.startswith("tel:") else href))
        if tag in self._WORDS or "role" in given or "pv-lead" in given.get("class", ""):
            self._open.append((tag, len(self._told)))
            self._told.append((given.get("role", tag), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._site_form = False
        if self._open and tag == self._open[-1][0]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            at = self._open[-1][1]
            kind, text = self._told[at]
            # Remaining times are in minutes or seconds.
            self._told[at] = (kind, text + data if kind != "timer" else "")


class Visitor:
    """Sends requests to the site, and records every response."""

    def __init__(self, transcript: Transcript, carrier: Carrier) -> None:
        self._transcript, self._carrier = transcript, carrier
        self._browser = Browser(carrier, MOUNT)

    def call(self, expected: str, method: str, path: str, document: object = None, **more: Any) -> Answer:
        """Call the API; `expected` is a status, with the code of a problem."""
        answer = self._browser.call(method, path, document, **more)
        self._transcript.note(expected, f"{method} {path} {document or ''}".rstrip(), answer, page=False)
        return answer

    def page(self, expected: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """Load a page below the mount."""
        answer = self._carrier.send(method, MOUNT + path, b"", headers or {})
        self._transcript.note(expected, f"{method} page {path}", answer, page=True)
        return answer

    def site_page(self, expected: str, path: str) -> None:
        """Load an address below the mount that the site answers with its own page; only the status is compared."""
        answer = self._carrier.send("GET", MOUNT + path, b"", {})
        own = Answer(answer.status, {}, b"")
        self._transcript.note(expected, f"GET page {path}", own, page=True)

    def submit(self, path: str, language: str = "en", *, followed: bool = True, **fields: str) -> Answer:
        """Submit a form, with the site's token, and load our page to which it is redirected."""
        token = hidden_token(self._browser.get(f"{MOUNT}login/").text)
        headers = {"Content-Type": _FORM, "Accept-Language": language}
        answer = self._carrier.send("POST", MOUNT + path, urlencode({**token, **fields}).encode(), headers)
        self._transcript.note("303", f"POST page {path} {fields}", answer, page=True)
        if followed and answer.location.startswith(MOUNT):
            self.page("200", answer.target.removeprefix(MOUNT), headers={"Accept-Language": language})
        return answer

    def start(self, phone: str, channel: str = "sms", **fields: str) -> tuple[str, str]:
        """Start a verification; return the path of its calls, and its secret."""
        answer = self.call("201", "POST", "v1/verifications", {"phone": phone, "channel": channel, **fields})
        document = answer.json()
        return f"v1/verifications/{document['id']}", document["secret"]

    def prove(self, phone: str, **fields: str) -> str:
        """Return the proof of a number."""
        path, _ = self.start(phone, **fields)
        return str(self.checked(path, phone)["proof"])

    def checked(self, path: str, phone: str, **more: Any) -> dict[str, Any]:
        """Return the result of the right code."""
        answer = self.call("200", "POST", f"{path}/check", {"code": self._transcript.code(phone)}, **more)
        return dict(answer.json())

    def mistaken(self, expected: str, path: str, phone: str) -> None:
        """Submit a wrong code, independent of the right one."""
        self.call(expected, "POST", f"{path}/check", {"code": wrong(self._transcript.code(phone))})

    def enter(self, expected: str, proof: str, **more: Any) -> None:
        """Sign in with a proof."""
        self.call(expected, "POST", "v1/session", {"proof": proof}, **more)

    def give_number(self, expected: str, proof: str) -> None:
        """Set the number of a proof."""
        self.call(expected, "PUT", "v1/session/phone", {"proof": proof})


def told(carrier: Callable[[], Carrier], network: SandboxServer) -> Sequence[Step]:
    """Return the responses of this site to every step. AssertionError at the first wrong one."""
    transcript = Transcript(carrier, network)
    for chapter in _CHAPTERS:
        chapter(transcript)
    return transcript.steps


def _paths_that_lead_nowhere(t: Transcript) -> None:
    visitor = t.visitor()
    for path in (
        "v1", "v1/", "webhooks", "webhooks/", "v1/nothing", "v1/verifications/", "v1/verifications/a/b/c",
        "v1//session", "v1/session/", "v1/Session", "v1/session%0A", "v1/%FF", "v1/verifications/%2e%2e%2fsession",
        "v1/openapi.yaml", "v1/verifications/" + "A" * 44, "v1/verifications/" + "A" * 2000,
    ):  # fmt: skip
        visitor.call("404 not_found", "GET", path)
    visitor.call("404 not_found", "DELETE", "v1")
    visitor.call("404 not_found", "POST", "webhooks", {})
    for path in ("", "v1x", "v2/session", "nothing/", "login/more", "static/"):
        visitor.site_page("404", path)
    visitor.page("404", "static/none.css")


def _methods_that_do_not_exist(t: Transcript) -> None:
    visitor = t.visitor()
    id = "v1/verifications/" + "A" * 44
    for method, path in (
        ("GET", "v1/verifications"), ("PUT", "v1/verifications"),
        ("HEAD", "v1/verifications"), ("POST", id), ("PATCH", id), ("GET", f"{id}/check"), ("DELETE", f"{id}/resend"),
        ("PATCH", "v1/session"), ("GET", "v1/session/phone"), ("POST", "v1/session/phone"),
        ("POST", "v1/openapi.json"), ("DELETE", "v1/health"), ("TRACE", "v1/session"), ("GET", "v1/token"),
    ):  # fmt: skip
        expected = "405" if method == "HEAD" else "405 method_not_allowed"
        visitor.call(expected, method, path)
    for path in ("v1/verifications", id, f"{id}/check", "v1/session", "v1/token", "v1/health"):
        visitor.call("204", "OPTIONS", path)


def _what_anybody_may_read(t: Transcript) -> None:
    visitor = t.visitor()
    visitor.call("200", "GET", "v1/openapi.json")
    visitor.call("200", "HEAD", "v1/openapi.json")
    visitor.call("200", "GET", "v1/health")
    visitor.call("200", "GET", "v1/ready")
    visitor.call("404 not_found", "GET", "v1/metrics")
    visitor.call("401 not_signed_in", "GET", "v1/session")
    visitor.call("401", "HEAD", "v1/session")
    visitor.call("204", "DELETE", "v1/session")
    visitor.call("401 not_signed_in", "PUT", "v1/session/phone", {"proof": "x"})
    for path in ("login/", "logout/", "login/?next=/orders", "login/?next=//evil.example"):
        visitor.page("200", path)
    visitor.page("200", "login/", "HEAD")
    for path in ("code/", "verify/", "verify/?next=/orders%3Fa%3D1", "code/?next=/orders"):
        visitor.page("302", path)


def _odd_bodies(t: Transcript) -> None:
    visitor = t.visitor()
    odd = [b"", b"[]", b'"phone"', b"{", b"\xff\xfe", b"NaN", b"null", b"[" * 5000, b'{"phone": "1", "phone": "2"}',
           b'{"phone": NaN}', b"\xef\xbb\xbf{}", b'{"\\ud800": "1"}', '{"телефон": "1"}'.encode()]  # fmt: skip
    for body in odd:
        visitor.call("400 invalid_request", "POST", "v1/verifications", body=body)
    for document in ({"phone": 9}, {"phone": None}, {"phone": ["+98"]}, {}, {"phone": "1", "x": "y", "z": 1},
                     {"phone": "1", "channel": "pigeon"}, {"phone": "1", "service": "other"},
                     {"phone": "1", "purpose": "Log in", "region": "XX"},
                     {"phone": "1", "channel": "\ud800"}):  # fmt: skip
        visitor.call("400 invalid_request", "POST", "v1/verifications", document)
    visitor.call("400 invalid_request", "POST", "v1/session", {"proof": 7})
    visitor.call("400 invalid_request", "PUT", "v1/session/phone", {"proof": True})
    for kind in ("text/plain", _FORM, "application/jsonp", "multipart/form-data; boundary=x", ""):
        headers = {"Content-Type": kind}
        visitor.call("415 unsupported_media_type", "POST", "v1/verifications", body=b"{}", headers=headers)
    headers = {"Content-Type": "Application/JSON ; charset=utf-8"}
    visitor.call("400 invalid_phone", "POST", "v1/verifications", body=b' {"phone": ""} ', headers=headers)


def _the_order_of_refusals(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    foreign, long = {"Sec-Fetch-Site": "cross-site"}, b'{"code": "' + b"1" * 17000 + b'"}'
    unknown = f"v1/verifications/{'A' * 44}/check"
    visitor.call("415 unsupported_media_type", "POST", unknown, body=long, headers={"Content-Type": "text/plain"})
    visitor.call("413 too_large", "POST", unknown, body=long, headers=foreign)
    visitor.call("400 invalid_request", "POST", unknown, {"code": 1}, headers=foreign)
    visitor.call("403 cross_site", "POST", unknown, {"code": "1"}, headers=foreign)
    visitor.call("404 not_found", "POST", unknown, {"code": "1"})
    path, secret = visitor.start(phone)
    visitor.call("404 not_found", "POST", f"{path}/check", {"code": "1"}, secret="x" * 22)
    visitor.call("400 invalid_request", "POST", f"{path}/check", {"code": "1"})
    visitor.call("403 cross_site", "POST", f"{path}/check", {"code": "1"}, headers={"Origin": "https://evil.example"})
    visitor.call("403 cross_site", "POST", f"{path}/resend", headers={"Origin": "null"})
    visitor.call("403 cross_site", "DELETE", path, headers={"Sec-Fetch-Site": "same-site"})
    visitor.call("400 invalid_request", "POST", f"{path}/check", {"code": "1"}, secret=secret, headers=foreign)
    visitor.call("204", "DELETE", path)
    visitor.call("410 closed", "POST", f"{path}/check", {"code": "1"})
    visitor.call("403 cross_site", "POST", "v1/verifications", {"phone": ""}, headers=foreign)
    visitor.call("403 cross_site", "POST", "v1/session", {"proof": ""}, headers=foreign)
    visitor.call("403 cross_site", "PUT", "v1/session/phone", {"proof": ""}, headers=foreign)
    visitor.call("403 cross_site", "POST", "v1/token", {"proof": ""}, headers=foreign)
    visitor.call("403 cross_site", "DELETE", "v1/session", headers=foreign)
    abroad = {"phone": "+12025550123", "channel": "voice"}
    visitor.call("403 destination_not_allowed", "POST", "v1/verifications", abroad)


def _numbers(t: Transcript) -> None:
    visitor = t.visitor()
    for text in ("", "0912", "+98-912-FLOWERS", "+989120000000;ext=5", "²" * 11, "+98912\x00", "\ud800", "9" * 4000):
        visitor.call("400 invalid_phone", "POST", "v1/verifications", {"phone": text})
    visitor.call(
        "403 destination_not_allowed", "POST", "v1/verifications", {"phone": "+982188776655", "channel": "sms"}
    )
    visitor.call("409 channel_unavailable", "POST", "v1/verifications", {"phone": t.phone(), "channel": "voice"})
    typed = "".join(chr(0x06F0 + int(digit)) for digit in t.phone()[3:])
    visitor.start(f"\u202a0{typed[:3]} {typed[3:]}\u202c", region="ir", locale="fa-IR", purpose="signup")
    visitor.start(t.phone(), locale="\x00", service="default")


def _a_code_by_sms(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    path, _ = visitor.start(phone)
    visitor.call("200", "GET", path)
    visitor.call("200", "HEAD", path)
    visitor.mistaken("422 wrong_code", path, phone)
    for text in ("", "12345", "1234567", "12a456", "²" * 6, "1" * 33):
        visitor.call("400 invalid_request", "POST", f"{path}/check", {"code": text})
    proof = visitor.checked(path, phone)["proof"]
    visitor.call("200", "GET", path)
    visitor.mistaken("410 closed", path, phone)
    visitor.call("410 closed", "POST", f"{path}/resend", {})
    visitor.enter("400 invalid_proof", "a.b.c")
    visitor.enter("400 invalid_proof", "\ud800" * 10)
    t.visitor().enter("400 invalid_proof", proof)
    visitor.give_number("401 not_signed_in", proof)
    visitor.enter("200", proof)
    visitor.enter("400 invalid_proof", proof)
    visitor.call("200", "GET", "v1/session")
    visitor.call("200", "HEAD", "v1/session")
    visitor.call("200", "GET", path)
    visitor.call("204", "DELETE", "v1/session")
    visitor.call("401 not_signed_in", "GET", "v1/session")
    again = t.visitor()
    again.enter("200", again.prove(phone))


def _binding_by_header(t: Transcript) -> None:
    visitor, client, phone = t.visitor(), t.visitor(), t.phone()
    path, secret = visitor.start(phone)
    for shown in (None, "", "x" * 22, secret[:-1]):
        for method, document, at in (("GET", None, path), ("DELETE", None, path), ("POST", {}, f"{path}/resend")):
            client.call("404 not_found", method, at, document, secret=shown)
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}
    client.call("403 cross_site", "POST", f"{path}/resend", {}, secret=secret, headers=foreign)
    foreign["Origin"] = "https://spa.example"
    client.call("200", "GET", path, secret=secret, headers=foreign)
    client.call("200", "POST", f"{path}/resend", {}, secret=secret, headers=foreign)
    proof = client.checked(path, phone, secret=secret)["proof"]
    client.enter("400 invalid_proof", proof)
    client.enter("200", proof, secret=secret, headers=foreign)
    for cookie in ("phone_verify=x", 'phone_verify="a.b~c"', "phone_verify=é; phone_verify_device=~", "=;;a"):
        odd = t.visitor()
        odd.call("404 not_found", "GET", path, headers={"Cookie": cookie.encode().decode("latin-1")})


def _sent_again(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    path, _ = visitor.start(phone)
    visitor.call("200", "POST", f"{path}/resend")
    visitor.call("400 invalid_request", "POST", f"{path}/resend", {"channel": "pigeon"})
    visitor.call("409 channel_unavailable", "POST", f"{path}/resend", {"channel": "voice"})
    visitor.call("200", "POST", f"{path}/resend", {"channel": "flash_call"})
    visitor.call("200", "POST", f"{path}/resend", {"channel": "inbound_call"})
    visitor.call("200", "POST", f"{path}/resend", {"channel": "sms"})
    visitor.call("429 too_many_requests", "POST", f"{path}/resend", {})
    visitor.call("429 too_many_requests", "POST", "v1/verifications", {"phone": phone})
    visitor.call(
        "429 too_many_requests", "POST", "v1/verifications", {"phone": phone}, headers={"Accept-Language": "fa"}
    )
    visitor.checked(path, phone)


def _ended(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    path, _ = visitor.start(phone)
    visitor.call("204", "DELETE", path)
    visitor.call("204", "DELETE", path)
    visitor.call("200", "GET", path)
    visitor.mistaken("410 closed", path, phone)
    visitor.call("410 closed", "POST", f"{path}/resend")
    path, _ = visitor.start(phone)
    for _ in range(3):
        visitor.mistaken("422 wrong_code", path, phone)
    visitor.mistaken("410 closed", path, phone)
    visitor.call("200", "GET", path)
    # A second start ends the first one of this browser, and six are more than a cookie holds.
    paths = [visitor.start(t.phone())[0] for _ in range(6)]
    visitor.call("404 not_found", "GET", paths[0])
    visitor.call("200", "GET", paths[1])


def _a_provider_that_refuses(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    t.network.sandbox.faults.put("amoot", phone, Fault(refuse=PROVIDERS["amoot"].refusals[0]))
    sms = {"phone": phone, "channel": "sms"}
    visitor.call("502 delivery_failed", "POST", "v1/verifications", sms)
    visitor.call("502 delivery_failed", "POST", "v1/verifications", sms, headers={"Accept-Language": "ru"})
    visitor.submit("login/", **sms)


def _a_flash_call(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    path, _ = visitor.start(phone, "flash_call")
    visitor.call("200", "GET", path)
    visitor.mistaken("422 wrong_code", path, phone)
    visitor.enter("200", visitor.checked(path, phone)["proof"])


def _a_call_to_the_site(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    path, _ = visitor.start(phone, "inbound_call")
    visitor.call("400 invalid_request", "POST", f"{path}/check", {"code": "1234"})
    t.stage.dial(phone, t.line(phone))
    proof = visitor.call("200", "GET", path).json()["proof"]
    t.visitor().enter("400 invalid_proof", proof)
    visitor.enter("200", proof)


def _webhooks(t: Transcript) -> None:
    visitor, phone, stranger = t.visitor(), t.phone("+790000{:05}"), t.visitor()
    path, _ = visitor.start(phone, "inbound_call")
    wait = t.network.sandbox.network.waiting_for(phone)
    assert wait is not None
    t.network.sandbox.network.call_line(wait.line, shown=phone, dialled_by=phone)
    sent = PROVIDERS["ssms"].hook(replace(wait, caller=phone, webhook="http://127.0.0.1/"), Fault())
    assert sent is not None
    event, hook = sent.url.partition("?")[2], f"webhooks/ssms/{_WEBHOOK_SECRET}"

    def says(expected: str, method: str, path: str, query: str = event, body: bytes | None = None) -> None:
        headers = {"Content-Type": _FORM, "Sec-Fetch-Site": "cross-site"}
        answer = stranger._browser.call(method, f"{path}?{query}", body=body, headers=headers)
        t.note(expected, f"{method} {path}", answer, page=False)

    for at in (
        "webhooks/ssms/wrong",
        "webhooks/ssms/%D9%81",
        "webhooks/nobody/" + _WEBHOOK_SECRET,
        f"{hook}/",
        f"{hook}x",
    ):
        says("404 not_found", "GET", at)
    says("404 not_found", "POST", "webhooks/ssms/wrong", body=b"x" * 65537)
    says("413 too_large", "POST", hook, body=b"x" * 65537)
    for method in ("PUT", "DELETE", "OPTIONS"):
        says("405 method_not_allowed", method, hook)
    says("405", "HEAD", hook)
    says("200", "GET", hook, "")
    says("200", "POST", hook, "a=%FF&a=\x00&" + "b=1&" * 200, b"\xff\x00")
    says("200", "GET", hook, f"{event}&{event}")
    visitor.call("200", "GET", path)
    says("200", "GET", hook)
    says("200", "POST", hook)
    proof = visitor.call("200", "GET", path).json()["proof"]
    stranger.enter("400 invalid_proof", proof)
    visitor.enter("200", proof)
    says("200", "GET", hook)


def _a_known_browser(t: Transcript) -> None:
    visitor, phone, stranger = t.visitor(), t.phone(), t.visitor()
    visitor.enter("200", visitor.prove(phone))
    for _ in range(4):
        stranger.start(phone)
    stranger.call("429 too_many_requests", "POST", "v1/verifications", {"phone": phone})
    visitor.call("204", "DELETE", "v1/session")
    visitor.enter("200", visitor.prove(phone))


def _another_number(t: Transcript) -> None:
    visitor, old, new, owner = t.visitor(), t.phone(), t.phone(), t.visitor()
    taken = t.phone()
    owner.enter("200", owner.prove(taken))
    visitor.enter("200", visitor.prove(old))
    visitor.give_number("400 invalid_proof", "a.b.c")
    visitor.give_number("400 invalid_proof", visitor.prove(t.phone()))
    visitor.give_number("409 phone_taken", visitor.prove(taken, purpose="change_phone"))
    proof = visitor.prove(new, purpose="change_phone")
    visitor.enter("400 invalid_proof", proof)
    owner.give_number("400 invalid_proof", proof)
    visitor.give_number("200", proof)
    visitor.give_number("400 invalid_proof", proof)
    visitor.give_number("200", visitor.prove(new, purpose="confirm"))
    visitor.call("200", "GET", "v1/session")
    later = t.visitor()
    later.enter("200", later.prove(old))


def _a_token(t: Transcript) -> None:
    visitor, client, phone, new = t.visitor(), t.visitor(), t.phone(), t.phone()
    path, secret = visitor.start(phone)
    proof = {"proof": visitor.checked(path, phone, secret=secret)["proof"]}
    client.call("400 invalid_request", "POST", "v1/token", {"proof": 7}, secret=secret)
    client.call("400 invalid_proof", "POST", "v1/token", proof)
    token = client.call("200", "POST", "v1/token", proof, secret=secret).json()["token"]
    client.call("400 invalid_proof", "POST", "v1/token", proof, secret=secret)
    client.call("401 not_signed_in", "GET", "v1/session")
    bearer = {"Authorization": f"Bearer {token}"}
    client.call("200", "GET", "v1/session", headers=bearer)
    for bad in (f"Bearer {token}x", "Bearer", "Bearer a b", "Token x"):
        client.call("401 not_signed_in", "GET", "v1/session", headers={"Authorization": bad})
        client.call("401 not_signed_in", "PUT", "v1/session/phone", {"proof": "x"}, headers={"Authorization": bad})
    fields = {"phone": new, "channel": "sms", "purpose": "change_phone"}
    client.call("401 not_signed_in", "POST", "v1/verifications", fields)
    begun = client.call("201", "POST", "v1/verifications", fields, headers=bearer).json()
    change = {"proof": client.checked(f"v1/verifications/{begun['id']}", new)["proof"]}
    client.call("401 not_signed_in", "PUT", "v1/session/phone", change)
    client.call("200", "PUT", "v1/session/phone", change, headers=bearer)
    client.call("200", "GET", "v1/session", headers=bearer)


def _languages(t: Transcript) -> None:
    for language in ("fa", "ru-RU,ru;q=0.9", "ar", "xx", "\u00e9;q=x"):
        visitor, headers = t.visitor(), {"Accept-Language": language}
        visitor.page("200", "login/", headers=headers)
        visitor.call("400 invalid_phone", "POST", "v1/verifications", {"phone": "1"}, headers=headers)
    t.visitor().submit("login/", language="fa", phone="1")


def _the_pages_with_a_code(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    visitor.submit("login/", phone="")
    visitor.submit("login/", phone="<b>\x00 1", channel="sms", next="/orders")
    visitor.submit("login/", channel="sms")
    visitor.submit("login/", phone="+12025550123", channel="sms")
    visitor.submit("login/", phone=phone, channel="pigeon")
    visitor.submit("login/", phone=phone, channel="voice")
    visitor.submit("login/", phone=phone, channel="sms", next="/orders?a=1")
    visitor.submit("login/", phone=phone, channel="sms")
    visitor.page("200", "code/?next=/orders%3Fa%3D1")
    visitor.page("200", "code/", headers={"Accept-Language": "fa"})
    for code in ("", "12345", "abcdef", "²" * 6, "1" * 5000):
        visitor.submit("code/", code=code)
    visitor.submit("code/")
    visitor.submit("code/", code=wrong(t.code(phone)), next="/orders", asks_remember="1")
    visitor.submit("code/", resend="1")
    visitor.submit("code/", resend="1", channel="flash_call")
    visitor.submit("code/", resend="1", channel="pigeon")
    visitor.submit("code/", resend="1", channel="voice")
    visitor.submit("code/", code=t.code(phone), next="/orders?a=1", asks_remember="1", remember="1")
    visitor.call("200", "GET", "v1/session")
    visitor.page("302", "code/")  # its response: after it the session keeps nothing of it
    visitor.submit("code/", code="000000")
    visitor.page("200", "logout/?next=/orders")
    visitor.submit("logout/", next="//evil.example")
    visitor.call("401 not_signed_in", "GET", "v1/session")
    visitor.submit("logout/", next="/orders")


def _the_pages_when_it_is_over(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    visitor.submit("login/", phone=phone, channel="sms", next="https://evil.example/")
    for _ in range(4):
        visitor.submit("code/", code=wrong(t.code(phone)))
    visitor.page("200", "code/")
    visitor.submit("code/", resend="1")
    for _ in range(3):
        visitor.start(phone)
    visitor.submit("login/", phone=phone, channel="sms")  # the open one is shown again
    t.visitor().submit("login/", phone=phone, channel="sms")
    t.visitor().submit("login/", language="ru", phone=phone, channel="sms")


def _the_pages_with_a_call(t: Transcript) -> None:
    visitor, phone = t.visitor(), t.phone()
    visitor.submit("login/", phone=phone, channel="inbound_call")
    visitor.page("200", "code/")
    visitor.submit("code/", called="1")
    other, called = t.visitor(), t.phone()
    # The page would query the provider, which it does every three seconds at most.
    other.submit("login/", followed=False, phone=called, channel="inbound_call")
    t.stage.dial(called, t.line(called))
    other.page("200", "code/?next=/orders")
    other.submit("code/", called="1", next="/orders")
    other.call("200", "GET", "v1/session")
    flash, rung = t.visitor(), t.phone()
    flash.submit("login/", phone=rung, channel="flash_call")
    flash.page("200", "code/")
    flash.submit("code/", code=t.code(rung), next="/заказы?a= b&c=%20")


def _the_page_of_the_own_number(t: Transcript) -> None:
    visitor, phone, new, owner = t.visitor(), t.phone(), t.phone(), t.visitor()
    taken = t.phone()
    owner.enter("200", owner.prove(taken))
    visitor.submit("verify/", confirm="1", next="/orders")
    visitor.enter("200", visitor.prove(phone))
    visitor.page("200", "verify/")
    visitor.page("200", "verify/?next=/orders", headers={"Accept-Language": "ar"})
    visitor.submit("verify/", phone="1")
    visitor.submit("verify/")
    visitor.submit("verify/", confirm="1", channel="pigeon")
    visitor.submit("verify/", confirm="1", channel="sms")
    visitor.page("200", "code/")
    visitor.submit("code/", code=t.code(phone))
    visitor.page("200", "verify/")
    visitor.submit("verify/", phone=taken, channel="sms")
    visitor.submit("code/", code=t.code(taken))
    visitor.submit("verify/", phone=new, channel="sms", next="/orders")
    other = t.visitor()
    other.enter("200", other.prove(phone))
    visitor.submit("code/", code=t.code(new), next="/orders")
    visitor.call("200", "GET", "v1/session")
    other.call("401 not_signed_in", "GET", "v1/session")
    other.enter("200", other.prove(new))
    visitor.submit("verify/", sign_out_others="1")
    other.call("401 not_signed_in", "GET", "v1/session")
    visitor.call("200", "GET", "v1/session")


def _forged_forms(t: Transcript) -> None:
    for path in ("login/", "code/", "verify/", "logout/"):
        visitor, phone = t.visitor(), t.phone()
        body = urlencode({"phone": phone, "channel": "sms"}).encode()
        answer = visitor._carrier.send("POST", MOUNT + path, body, {"Content-Type": _FORM})
        assert answer.status in (400, 403), (path, answer.status)
        assert not {"phone_verify", "phone_verify_device"} & answer.cookies.keys()
        t.steps.append(Step(f"{len(t.steps) + 1}. POST page {path} without a token: refused", 0))
        assert t.stage.arrived(phone) == 0


_CHAPTERS: Sequence[Callable[[Transcript], None]] = (
    _paths_that_lead_nowhere,
    _methods_that_do_not_exist,
    _what_anybody_may_read,
    _odd_bodies,
    _the_order_of_refusals,
    _numbers,
    _a_code_by_sms,
    _binding_by_header,
    _sent_again,
    _ended,
    _a_provider_that_refuses,
    _a_flash_call,
    _a_call_to_the_site,
    _webhooks,
    _a_known_browser,
    _another_number,
    _a_token,
    _languages,
    _the_pages_with_a_code,
    _the_pages_when_it_is_over,
    _the_pages_with_a_call,
    _the_page_of_the_own_number,
    _forged_forms,
)
