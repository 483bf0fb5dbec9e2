"""The client and `<phone-verify>` in a Chromium: on a page of the site, and of another origin.

The pages are bare HTML with the module and the element, under the strictest policy.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer
from tests.conftest import missing
from tests.scenarios import Stage, wrong
from tests.servers import environment, uvicorn

from .conftest import DESKTOP_SIZE, PHONE_SIZE, Tabs, example_site, keep_picture, stop_clock
from .test_every_page import OPTIONS, RUN_AXE

pytestmark = pytest.mark.browser

BARE = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>A shop</title>
<link rel="icon" href="data:,">
<script type="module" src="{client}"></script>
</head>
<body><main><h1>A shop</h1>{element}</main></body>
</html>
"""
POLICY = (
    "default-src 'none'; script-src {site}; style-src 'self'; img-src data:; connect-src {site}; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types"
)
#: Notes the element's events.
LISTEN = """() => {
  window.events = [];
  for (const name of ["verified", "signed-in", "error"]) {
    document.addEventListener(`phone-verify:${name}`, (event) => window.events.push([name, event.detail]));
  }
}"""
STORED = "JSON.stringify([{ ...localStorage }, { ...sessionStorage }])"


class _Page(BaseHTTPRequestHandler):
    """Serves a page of another origin."""

    def do_GET(self) -> None:
        body, policy = self.server.page  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@dataclass
class Place:
    """A site, and a page from which its client is used: of the same origin, or of another one."""

    site: str
    server: ThreadingHTTPServer | None
    same: bool
    url: str

    def show(self, tab: Any, attributes: str = "", *, lang: str = "en", content: str = "") -> None:
        """Open a bare page with the element."""
        origin = "'self'" if self.same else self.site
        element = f"<phone-verify {attributes}>{content}</phone-verify>"
        page = BARE.format(lang=lang, client=f"{self.site}/phone/static/phone-verify-client.js", element=element)
        policy = POLICY.format(site=origin)
        if self.server is not None:
            self.server.page = (page, policy)  # type: ignore[attr-defined]
        if self.same:
            headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
            tab.route(f"{self.site}/bare", lambda route: route.fulfill(body=page, headers=headers))
        tab.goto(self.url)
        tab.evaluate(LISTEN)

    @property
    def signs_in(self) -> bool:
        """Whether the browser keeps the site's cookies for this page: not for another site's page."""
        return self.same


@contextmanager
def page_server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module", params=["django", "flask"])
def served(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    data: Path = tmp_path_factory.mktemp(request.param)
    with page_server() as server:
        settings = {"trusted_origins": f"http://localhost:{server.server_port}", "sends_per_hour_per_address": "0"}
        with example_site(request.param, sandbox, data, **settings) as url:
            yield url, server


@pytest.fixture(params=["same origin", "other origin"])
def place(request: pytest.FixtureRequest, served: tuple[str, ThreadingHTTPServer]) -> Place:
    """A page of each origin, for each framework."""
    url, server = served
    same = request.param == "same origin"
    return Place(url, server, same, f"{url}/bare" if same else f"http://localhost:{server.server_port}/")


@pytest.fixture
def home(served: tuple[str, ThreadingHTTPServer]) -> Place:
    """A page of the site itself."""
    return Place(*served, True, f"{served[0]}/bare")


@pytest.fixture(scope="module")
def axe() -> Any:
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe-playwright-python")
    return Axe()


def enter_number(tab: Any, phone: str, channel: str = "sms") -> None:
    tab.locator("input[type=tel]").fill(phone)
    tab.locator(f"input[value={channel}]").check()
    tab.get_by_role("button", name="Continue").click()


def events(tab: Any) -> list[Any]:
    found: list[Any] = tab.evaluate("window.events")
    return found


def until(tab: Any, name: str) -> Any:
    """Wait for an event of the element; return its detail."""
    tab.wait_for_function("(name) => window.events.some((event) => event[0] === name)", arg=name)
    return next(detail for kind, detail in events(tab) if kind == name)


def test_element_signs_in_by_sms_after_a_wrong_code(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab, "sign-in")
        keep_picture(tab)
        enter_number(tab, phone)
        code = stage.code(phone)
        tab.get_by_label("6-digit code").fill(wrong(code))
        tab.get_by_text("Incorrect code.").wait_for()
        keep_picture(tab)
        assert tab.locator("#pv-code").get_attribute("aria-invalid") == "true"
        assert "pv-error" in tab.locator("#pv-code").get_attribute("aria-describedby")
        tab.get_by_label("6-digit code").fill(code)
        tab.get_by_role("button", name="Confirm").click()
        assert until(tab, "signed-in")["user"]["phone"] == phone
        assert [(name, detail.get("code")) for name, detail in events(tab)] == [
            ("error", "wrong_code"),
            ("verified", None),
            ("signed-in", None),
        ]
        assert tab.evaluate(STORED) == "[{},{}]"
        session = tab.evaluate("document.querySelector('phone-verify').client.session()")
        assert (session or {}).get("phone") == (phone if place.signs_in else None)


def test_full_code_is_submitted_by_itself(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab, 'purpose="login" channel="sms" region="IR"')
        assert tab.locator("input[type=radio]").count() == 0
        tab.locator("input[type=tel]").fill(f"0{phone[3:]}")
        tab.locator("input[type=tel]").press("Enter")
        tab.get_by_label("6-digit code").fill(stage.code(phone))
        detail = until(tab, "verified")
        assert detail["proof"]
        assert "secret" not in str(detail)
        tab.get_by_text("Your number is verified.").wait_for()


def test_flash_call_is_verified_by_the_last_digits(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab)
        enter_number(tab, phone, "flash_call")
        tab.get_by_text("Check your phone").wait_for()
        keep_picture(tab)
        tab.locator("#pv-code").fill(stage.code(phone))
        assert until(tab, "verified")["proof"]


def test_call_is_noticed_without_a_press(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab, "sign-in")
        enter_number(tab, phone, "inbound_call")
        link = tab.locator("a.call")
        link.wait_for()
        keep_picture(tab)
        assert tab.locator("img").get_attribute("src").startswith("data:image/svg+xml")
        stage.dial(phone, link.get_attribute("href").removeprefix("tel:"))
        assert until(tab, "signed-in")["user"]["phone"] == phone


def test_every_step_works_by_keyboard_alone(home: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        home.show(tab, "sign-in")
        tab.locator("input[type=tel]").wait_for()
        keys = tab.keyboard
        focused = "document.querySelector('phone-verify').shadowRoot.activeElement?.%s"
        while tab.evaluate(focused % "id") != "pv-phone":
            keys.press("Tab")
        keys.type(phone)
        keys.press("Tab")
        keys.press("ArrowDown")
        assert tab.evaluate(focused % "value") == "flash_call"
        keys.press("ArrowUp")
        keys.press("Enter")
        tab.locator("#pv-code").wait_for()
        assert tab.evaluate(focused % "id") == "pv-code"
        code = stage.code(phone)
        keys.type(wrong(code))
        tab.locator("#pv-error").wait_for()
        assert tab.evaluate(focused % "id") == "pv-code"
        keys.type(code)
        keys.press("Enter")
        until(tab, "signed-in")
        assert tab.evaluate(focused % "localName") == "h2"


def test_too_many_starts_are_explained_with_the_wait(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab)
        for _ in range(5):
            enter_number(tab, phone)
            tab.locator("#pv-code").wait_for()
            tab.get_by_role("button", name="Change number").click()
        enter_number(tab, phone)
        tab.locator("#pv-error").wait_for()
        assert re.search(r"Try again in \d+:\d\d", tab.locator("#pv-error").inner_text())
        assert [detail["code"] for _, detail in events(tab)] == ["too_many_requests"]
        assert tab.locator("input[type=tel]").input_value().replace(" ", "") == phone


def test_offline_start_sends_nothing_and_keeps_the_number(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab)
        tab.locator("input[type=tel]").fill(phone)
        tab.context.set_offline(True)
        tab.get_by_role("button", name="Continue").click()
        tab.get_by_text("You're offline.").wait_for()
        tab.context.set_offline(False)
        tab.get_by_text("You're offline.").wait_for(state="hidden")
        tab.get_by_role("button", name="Continue").click()
        tab.locator("#pv-code").wait_for()
        assert stage.arrived(phone) == 1


def test_wrong_codes_and_expiry_lead_to_a_new_code(home: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        home.show(tab, 'channel="sms"')
        tab.locator("input[type=tel]").fill(phone)
        tab.locator("input[type=tel]").press("Enter")
        code = stage.code(phone)
        tab.locator("#pv-code").fill(wrong(code))  # the first full code is sent by itself
        for left in ("4 attempts left", "3 attempts left", "2 attempts left", "1 attempt left"):
            tab.get_by_text(left).wait_for()
            tab.locator("#pv-code").fill(wrong(code))
            tab.locator("#pv-code").press("Enter")
        tab.get_by_text("Too many incorrect codes").wait_for()
        tab.get_by_role("button", name="Get a new code").click()
        tab.locator("#pv-code").wait_for()
        tab.locator("#pv-code").fill(stage.code(phone))
        until(tab, "verified")


def test_code_of_the_message_is_filled_in(home: Place, tabs: Tabs, stage: Stage) -> None:
    """WebOTP, which only phones have: the browser's part is replaced."""
    phone = stage.phone()
    with tabs() as tab:
        tab.expose_function("newestCode", lambda: stage.code(phone))
        tab.add_init_script("""
            window.OTPCredential = class {};
            CredentialsContainer.prototype.get = async ({ otp, signal }) =>
              otp.transport[0] === "sms" && !signal.aborted ? { code: await newestCode() } : null;""")
        home.show(tab)
        enter_number(tab, phone)
        assert until(tab, "verified")["proof"]


def test_outage_is_reported_and_the_element_opens_later(home: Place, tabs: Tabs) -> None:
    with tabs() as tab:
        stop_clock(tab)
        tab.route("**/phone-verify-client.json*", lambda route: route.abort("connectionreset"), times=1)
        with tab.expect_event("requestfailed"):
            home.show(tab, content='<p slot="footer">Our terms</p>')
        with tab.expect_response("**/phone-verify-client.json*"):
            while not tab.evaluate("document.querySelector('phone-verify').shadowRoot.querySelector('[type=tel]')"):
                tab.clock.run_for(10_000)
        tab.locator("input[type=tel]").wait_for()


def test_further_fields_are_sent_with_a_start(home: Place, tabs: Tabs, stage: Stage) -> None:
    with tabs() as tab:
        home.show(tab, 'purpose="login" channel="sms"')
        tab.evaluate("document.querySelector('phone-verify').extra = { captcha: 'x' }")
        tab.locator("input[type=tel]").fill(stage.phone())
        with tab.expect_request("**/v1/verifications") as sent:
            tab.locator("input[type=tel]").press("Enter")
        order = sent.value.post_data_json
        assert (order["extra"], order["purpose"], order["channel"]) == ({"captcha": "x"}, "login", "sms")
        tab.locator("#pv-error").wait_for()  # this site has no rule that reads them


def test_countdowns_continue_after_a_wrong_code(home: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        stop_clock(tab)
        home.show(tab, 'channel="sms"')
        tab.locator("input[type=tel]").fill(phone)
        tab.locator("input[type=tel]").press("Enter")
        code = stage.code(phone)
        assert tab.get_by_text("Resend code in").is_disabled()
        tab.clock.fast_forward(70_000)
        tab.locator("#pv-code").fill(wrong(code))
        tab.locator("#pv-code").press("Enter")
        tab.locator("#pv-error").wait_for()
        assert re.fullmatch(r"3:[345]\d", tab.get_by_role("timer").inner_text())
        assert tab.get_by_role("button", name="Resend code", exact=True).is_enabled()


def test_language_changes_without_losing_the_verification(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab)
        enter_number(tab, phone)
        tab.get_by_text("6-digit code").wait_for()
        tab.evaluate("document.querySelector('phone-verify').lang = 'fa'")
        tab.get_by_text("کد ۶ رقمی").wait_for()
        tab.locator("#pv-code").fill(stage.code(phone))
        assert until(tab, "verified")["proof"]


def test_second_factor_is_linked(home: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    document = {"code": "mfa_required", "detail": "One more step is needed.", "continue_at": "/accounts/2fa/"}
    with tabs() as tab:
        tab.route("**/v1/session", lambda route: route.fulfill(status=403, json=document))
        home.show(tab, "sign-in")
        enter_number(tab, phone)
        tab.locator("#pv-code").fill(stage.code(phone))
        assert tab.get_by_role("link", name="Continue").get_attribute("href") == f"{home.site}/accounts/2fa/"
        assert [name for name, _ in events(tab)] == ["verified", "error"]


def test_own_texts_slots_parts_and_properties(home: Place, tabs: Tabs) -> None:
    content = (
        '<script type="application/json">{"continue": "Go on"}</script>'
        '<h2 slot="title">Join us</h2><p slot="footer">Our terms</p>'
    )
    with tabs() as tab:
        home.show(tab, "sign-in", content=content)
        tab.get_by_role("button", name="Go on").wait_for()
        assert tab.get_by_text("Join us").is_visible()
        assert tab.get_by_text("Our terms").is_visible()
        shown = tab.evaluate("""() => {
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(
            "phone-verify { --pv-accent: rgb(91, 33, 182) } phone-verify::part(input) { border-radius: 1px }");
          document.adoptedStyleSheets = [sheet];
          const root = document.querySelector("phone-verify").shadowRoot;
          return [
            getComputedStyle(root.querySelector("button")).backgroundColor,
            getComputedStyle(root.querySelector("[type=tel]")).borderTopLeftRadius,
          ];
        }""")
        assert shown == ["rgb(91, 33, 182)", "1px"]


def test_unlisted_origin_cannot_import_the_client(home: Place, browser: Any) -> None:
    context = browser.new_context()
    tab = context.new_page()
    home.server.page = ("<title>x</title>", "")  # type: ignore[attr-defined]
    failed = "(client) => import(client).then(() => 'loaded', () => 'blocked')"
    for host, result in (("localhost", "loaded"), ("127.0.0.1", "blocked")):
        tab.goto(f"http://{host}:{home.server.server_port}/")
        assert tab.evaluate(failed, f"{home.site}/phone/static/phone-verify-client.js") == result
    context.close()


# The client without the element


def with_client(place: Place, tab: Any, script: str, *values: Any) -> Any:
    """Run the body of an async function of `client`, `PhoneVerifyError` and `values`; return its result."""
    module = f"{place.site}/phone/static/phone-verify-client.js"
    return tab.evaluate(
        f"""async ([module, values]) => {{
          const {{ PhoneVerifyClient, PhoneVerifyError }} = await import(module);
          const client = (window.client ??= new PhoneVerifyClient());
          {script}
        }}""",
        [module, list(values)],
    )


def test_client_verifies_and_gives_typed_errors(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab)
        start = "window.started = await client.start({ phone: values[0], channel: 'sms' }); return window.started;"
        begun = with_client(place, tab, start, phone)
        assert begun["status"] == "sent"
        refusal = """
          const call = { wrong: () => client.check(window.started, values[0]),
                         invalid: () => client.start({ phone: "1" }),
                         unknown: () => client.get("A".repeat(44)) }[values[1]];
          return call().then(() => null, (e) => [
            e instanceof PhoneVerifyError, e.code, e.status, e.attemptsLeft, e.fields, e.message === e.detail]);"""
        code = stage.code(phone)
        assert with_client(place, tab, refusal, wrong(code), "wrong") == [True, "wrong_code", 422, 4, [], True]
        assert with_client(place, tab, refusal, "", "invalid") == [True, "invalid_phone", 400, None, ["phone"], True]
        signed_in = """
          const verified = await client.check(window.started, values[0]);
          const { user } = await client.signIn(verified);
          const proof = await client.signIn(verified).catch((error) => error.code);
          return [user.phone, proof, (await client.session())?.phone ?? null];"""
        there = phone if place.signs_in else None
        assert with_client(place, tab, signed_in, code) == [phone, "invalid_proof", there]
        if place.signs_in:
            assert with_client(place, tab, "await client.signOut(); return client.session();") is None


def blocks_of_the_guide() -> list[str]:
    """Return the scripts of docs/client.md that are marked to be run."""
    guide = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8")
    return re.findall(r"<!-- the browser tests run this block -->\n```js\n(.*?)```", guide, re.DOTALL)


def test_scripts_of_the_guide_work(place: Place, tabs: Tabs, stage: Stage) -> None:
    listeners, calls = blocks_of_the_guide()
    with tabs() as tab:
        place.show(tab, 'sign-in channel="sms"')
        names = "window.send = (...a) => heard.push('send'), window.greet = ({ phone }) => heard.push(phone),"
        tab.evaluate(f"window.heard = []; {names} window.log = (code) => heard.push(code); {listeners}")
        phone = stage.phone()
        tab.locator("input[type=tel]").fill("1")
        tab.locator("input[type=tel]").press("Enter")
        tab.locator("#pv-error").wait_for()
        tab.locator("input[type=tel]").fill(phone)
        tab.locator("input[type=tel]").press("Enter")
        tab.locator("#pv-code").fill(stage.code(phone))
        until(tab, "signed-in")
        assert tab.evaluate("window.heard") == ["invalid_phone", "send", phone]

        other = stage.phone()
        calls = calls.replace("+989120000000", other).replace("/phone/static", f"{place.site}/phone/static")
        calls = re.sub(r"import (.*?) from (.*?);", r"const \1 = await import(\2);", calls)
        calls = calls.replace("(started, code)", "(started, await window.code())").replace(
            "const { user }", "var { user }"
        )
        tab.expose_function("code", lambda: stage.code(other))
        assert tab.evaluate(f"async () => {{ {calls}\nreturn user.phone; }}") == other


def test_start_with_lost_answers_is_repeated_and_sends_once(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    keys: list[str] = []
    with tabs() as tab:
        place.show(tab)

        def lose(route: Any) -> None:
            if route.request.method != "POST":
                route.continue_()
                return
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) > 3:
                route.continue_()
                return
            if len(keys) == 1:
                route.fetch()  # the site sends, the answer is lost
            route.abort("connectionreset")

        tab.route("**/v1/verifications", lose)
        start = """
          const started = client.start({ phone: values[0], channel: 'sms' });
          return started.then(({ status }) => status, ({ code }) => code);"""
        assert with_client(place, tab, start, phone) == "network"
        assert with_client(place, tab, start, phone) == "sent"
        assert (len(keys), len(set(keys))) == (4, 1)
        assert stage.arrived(phone) == 1
        assert with_client(place, tab, start, phone) == "sent"
        assert keys[4] != keys[0]
        assert stage.arrived(phone) == 2


def test_watch_backs_off_ends_and_stops(place: Place, tabs: Tabs, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        place.show(tab)
        watched = """
          const started = await client.start({ phone: values[0], channel: "inbound_call" });
          window.seen = [];
          (async () => {
            for await (const { status } of client.watch(started)) window.seen.push(status);
            window.seen.push("ended");
          })();
          const stop = new AbortController();
          window.stopped = (async () => {
            for await (const seen of client.watch(started, { signal: stop.signal })) stop.abort();
            return "stopped";
          })();
          return started.dial.number;"""
        number = with_client(place, tab, watched, phone)
        tab.wait_for_function("() => window.seen.length === 1")
        assert tab.evaluate("window.stopped") == "stopped"
        tab.context.set_offline(True)
        stage.dial(phone, number)
        tab.context.set_offline(False)
        tab.wait_for_function("() => window.seen.at(-1) === 'ended'", timeout=90_000)
        assert tab.evaluate("window.seen") == ["sent", "verified", "ended"]


@pytest.mark.parametrize("lang", ["en", "fa", "ru", "ar"])
def test_no_axe_violations_in_any_view_and_language(home: Place, tabs: Tabs, axe: Any, stage: Stage, lang: str) -> None:
    for size, scheme in ((PHONE_SIZE, "light"), (DESKTOP_SIZE, "dark")):
        with tabs(viewport=size, color_scheme=scheme, reduced_motion="reduce") as tab:
            home.show(tab, "sign-in", lang=lang)
            tab.locator("input[type=tel]").wait_for()
            tab.evaluate(axe.axe_script)

            def is_fine(view: str, tab: Any = tab, scheme: str = scheme) -> None:
                keep_picture(tab, f"element {lang} {scheme} {view}")
                assert tab.evaluate(RUN_AXE, OPTIONS) == [], (view, scheme)
                assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), (
                    view,
                    scheme,
                )

            is_fine("number")
            tab.locator("input[type=tel]").fill("1")
            tab.locator("button.button").click()
            tab.locator("#pv-error").wait_for()
            is_fine("refused")
            assert tab.locator("[lang]").last.get_attribute("dir") == ("rtl" if lang in ("fa", "ar") else "ltr")
            for channel, ready in (("inbound_call", "a.call"), ("flash_call", "#pv-code"), ("sms", "#pv-code")):
                phone = stage.phone()
                tab.locator("input[type=tel]").fill(phone)
                tab.locator(f"input[value={channel}]").check()
                tab.locator("button.button").click()
                tab.locator(ready).wait_for()
                tab.evaluate("document.querySelector('phone-verify').shadowRoot.querySelector('details').open = true")
                is_fine(channel)
                if channel != "sms":
                    tab.locator("[data-step=change] button").click()
            tab.locator("#pv-code").fill(stage.code(phone))
            until(tab, "signed-in")
            is_fine("done")


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_call_is_streamed_by_an_asgi_server(
    framework: str, tabs: Tabs, sandbox: SandboxServer, stage: Stage, tmp_path: Path
) -> None:
    phone = stage.phone()
    env = environment(framework, tmp_path, sandbox.dsn, {"sends_per_hour_per_prefix": "0"})
    with uvicorn(framework, env) as site, tabs() as tab:
        answers: list[tuple[str, str]] = []
        tab.on("response", lambda answer: answers.append((answer.url, answer.headers.get("content-type", ""))))
        Place(site, None, True, f"{site}/bare").show(tab)
        enter_number(tab, phone, "inbound_call")
        link = tab.locator("a.call")
        stage.dial(phone, link.get_attribute("href").removeprefix("tel:"))
        assert until(tab, "verified")["proof"]
        followed = [(url, kind.partition(";")[0]) for url, kind in answers if "/v1/verifications/" in url]
        assert [(url.rpartition("/")[2], kind) for url, kind in followed] == [("events", "text/event-stream")]
