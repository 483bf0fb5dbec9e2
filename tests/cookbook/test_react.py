"""docs/cookbook/react.md: the component is type-checked, bundled, and used in Chromium on a page of another origin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from phone_verify.sandbox import SandboxServer
from tests.browser.conftest import browser, example_site, tabs
from tests.browser.test_other_origin import another_origin
from tests.django_adapter.projects import blocks
from tests.scenarios import Stage, wrong

from .conftest import ROOT, program, run

__all__ = ["browser", "tabs"]  # fixtures

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGE = blocks((ROOT / "docs" / "cookbook" / "react.md").read_text("utf-8"))
TSCONFIG = {
    "compilerOptions": {
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "noEmit": True,
        "jsx": "react-jsx",
        "target": "es2022",
        "lib": ["es2022", "dom", "dom.iterable"],
        "module": "esnext",
        "moduleResolution": "bundler",
    },
    "include": ["*.tsx", "*.d.ts"],
}
#: The app around the component.
APP = """
import { createRoot } from "react-dom/client";
import { PhoneSignIn } from "./PhoneSignIn";

const root = createRoot(document.body.appendChild(document.createElement("main")));
root.render(<PhoneSignIn onSignedIn={(user) => root.render(<p>Hello {user.phone}</p>)} />);
"""


@pytest.fixture(scope="module", params=["django", "flask"])
def page(
    request: pytest.FixtureRequest,
    sandbox: SandboxServer,
    node_modules: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Path]]:
    """The URL of an empty page of another origin of the same site, and the bundle of the app for it."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    with another_origin() as port:
        settings = {"trusted_origins": f"http://localhost:{port}", "resend_after": "1"}
        with example_site(request.param, sandbox, folder, **settings) as url:
            yield f"http://localhost:{port}/", bundle(url.replace("127.0.0.1", "localhost"), node_modules, folder)


def bundle(site: str, node_modules: Path, folder: Path) -> Path:
    """Fetch the client as the page says, check the component's types, and return the bundle of the app."""
    downloads, component = PAGE
    for line in downloads.text.splitlines():
        address = line.split()[-1].replace("https://shop.example", site)
        answer = urllib3.request("GET", address, timeout=30, retries=False)
        assert answer.status == 200
        (folder / address.rpartition("/")[2]).write_bytes(answer.data)
    text = component.text.replace("https://shop.example", site)
    (folder / "PhoneSignIn.tsx").write_text(text)
    (folder / "app.tsx").write_text(APP)
    (folder / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    (folder / "node_modules").symlink_to(node_modules)
    node = program("node")
    run([node, "node_modules/typescript/bin/tsc"], folder)
    options = ["--bundle", "--jsx=automatic", "--format=esm", "--outfile=app.js", "--log-level=warning"]
    run([node, "node_modules/esbuild/bin/esbuild", "app.tsx", *options], folder)
    return folder / "app.js"


def test_component_signs_in_by_code(page: tuple[str, Path], stage: Stage, tabs: Any) -> None:
    phone, (address, app) = stage.phone(), page
    with tabs() as tab:
        tab.goto(address)
        tab.add_script_tag(path=app, type="module")
        tab.get_by_label("Mobile number").fill("12")
        tab.get_by_role("button", name="Continue").click()
        tab.get_by_role("alert").get_by_text("number").wait_for()
        tab.get_by_label("Mobile number").fill(phone)
        tab.get_by_role("button", name="Continue").click()
        tab.get_by_label("Code sent to").fill(wrong(stage.code(phone)))
        tab.get_by_role("button", name="Sign in").click()
        tab.get_by_text("Incorrect code").wait_for()
        tab.get_by_label("Code sent to").fill(stage.code(phone))
        tab.get_by_role("button", name="Sign in").click()
        tab.get_by_text(f"Hello {phone}").wait_for()
        assert tab.evaluate("localStorage.length + sessionStorage.length") == 0


def test_component_resends_and_changes_the_number(page: tuple[str, Path], stage: Stage, tabs: Any) -> None:
    phone, (address, app) = stage.phone(), page
    with tabs() as tab:
        tab.goto(address)
        tab.add_script_tag(path=app, type="module")
        tab.get_by_label("Mobile number").fill(phone)
        tab.get_by_role("button", name="Continue").click()
        tab.get_by_role("button", name="Resend", exact=True).click()
        tab.get_by_role("button", name="Resend in").wait_for()
        assert stage.arrived(phone) == 2
        tab.get_by_role("button", name="Change number").click()
        tab.get_by_label("Mobile number").wait_for()


def test_component_notices_the_call(
    sandbox: SandboxServer, node_modules: Path, tmp_path: Path, stage: Stage, tabs: Any
) -> None:
    """At a site whose first channel is the call."""
    phone = stage.phone()
    with another_origin() as port:
        trusted = {"trusted_origins": f"http://localhost:{port}", "channels": "inbound_call,sms"}
        with example_site("flask", sandbox, tmp_path, **trusted) as url, tabs() as tab:
            app = bundle(url.replace("127.0.0.1", "localhost"), node_modules, tmp_path)
            tab.goto(f"http://localhost:{port}/")
            tab.add_script_tag(path=app, type="module")
            tab.get_by_label("Mobile number").fill(phone)
            tab.get_by_role("button", name="Continue").click()
            stage.dial(phone, tab.locator("a[href^='tel:']").inner_text())
            tab.get_by_text(f"Hello {phone}").wait_for()


def test_code_and_call_that_verify_together_sign_in_once(page: tuple[str, Path], stage: Stage, tabs: Any) -> None:
    """The answers of the API are the test's: those to the code and to the poll arrive together."""
    address, app = page
    sent = {
        "id": "A",
        "secret": "S",
        "status": "sent",
        "phone_hint": "",
        "code_length": 6,
        "attempts_left": 5,
        "resend_in": 0,
        "dial": {"number": "+98211", "uri": "tel:+98211", "qr": "data:,"},
        "proof": None,
    }
    verified = {**sent, "status": "verified", "proof": "P"}
    polls: list[Any] = []
    proofs: list[Any] = []

    def answer(route: Any) -> None:
        path = route.request.url.rpartition("/v1/")[2]
        if path.endswith("/events"):
            route.fulfill(status=404, json={"code": "not_found"})
        elif path == "verifications/A":
            polls.append(route)
        elif path.endswith("/check"):
            polls[0].fulfill(json=verified)
            route.fulfill(json=verified)
        elif path == "session":
            proofs.append(route)
        else:
            route.fulfill(status=201, json=sent)

    with tabs() as tab:
        tab.goto(address)
        tab.route("**/phone/v1/**", answer)
        tab.add_script_tag(path=app, type="module")
        tab.get_by_label("Mobile number").fill(stage.phone())
        tab.get_by_role("button", name="Continue").click()
        with tab.expect_request("**/verifications/A"):
            tab.get_by_label("Code sent to").fill("123456")
        tab.get_by_role("button", name="Sign in").click()
        tab.wait_for_timeout(500)
        assert len(proofs) == 1
        proofs[0].fulfill(json={"user": {"id": "7", "phone": "+989120000000"}, "created": False})
        tab.get_by_text("Hello +989120000000").wait_for()
