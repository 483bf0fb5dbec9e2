"""The client's files over HTTP on both example sites: types, caching, CORS, settings of the element, size, types."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phone_verify.api.openapi import openapi
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.web import assets
from phone_verify.web.assets import CLIENT, asset
from tests.cases import in_one_test

from .clients import Answer, HttpCarrier
from .conftest import missing
from .servers import environment, gunicorn

APP, EVIL = "https://spa.example", "https://evil.example"
ROOT = Path(__file__).parent.parent
#: Of the module as it is served, with gzip level 9: "12 KB", in the smaller of the two kilobytes.
LARGEST = 12_000


@pytest.fixture(scope="module", params=["django", "flask"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    channels = {"sms": "console://", "inbound_call": "telefon-ip://token@default", "region": "IR"}
    settings = environment(request.param, tmp_path_factory.mktemp("data"), None, {**channels, "trusted_origins": APP})
    with gunicorn(request.param, settings) as url:
        yield url


def get(url: str, name: str, origin: str = "", **headers: str) -> Answer:
    if origin:
        headers["Origin"] = origin
    return HttpCarrier(url).send("GET", f"/phone/static/{name}", b"", headers)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (CLIENT, "text/javascript"),
        ("phone-verify-client.d.ts", "application/typescript"),
        ("phone-verify-client.json", "application/json"),
    ],
)
def test_client_files_are_cached_and_importable(url: str, name: str, kind: str) -> None:
    answer = get(url, name, APP)
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, kind)
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    again = get(url, name, APP, **{"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.headers["access-control-allow-origin"]) == (304, APP)
    for origin in ("", EVIL, "null"):
        other = get(url, name, origin)
        assert (other.status, other.headers["etag"]) == (200, answer.headers["etag"])
        assert "access-control-allow-origin" not in other.headers
        assert "origin" in other.headers["vary"].lower()


def test_files_of_the_pages_have_no_cors_headers(url: str) -> None:
    for name in ("phone_verify.css", "phone_verify.js"):
        assert "access-control-allow-origin" not in get(url, name, APP).headers


def settings_in(url: str, lang: str) -> Any:
    return json.loads(get(url, f"phone-verify-client.json?lang={lang}").text)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_element_settings_are_complete_in_each_language(url: str, lang: str) -> None:
    document = settings_in(url, f"{lang}-XX")
    assert (document["lang"], document["dir"]) == (lang, LANGUAGES[lang].direction)
    assert [channel["value"] for channel in document["channels"]] == ["sms", "inbound_call"]
    assert document["number"]["field"]["data-pv-phone"] == "IR"
    assert all(document["texts"].values())
    used = re.findall(r"texts\.(\w+)", (ROOT / "phone_verify/web/client/element.js").read_text("utf-8"))
    assert set(used) <= set(document["texts"])
    assert len(document["attempts"]) == 11


@in_one_test
@pytest.mark.parametrize("lang", ["", "de", "xx" * 200, "..%2f..%2fetc", "fa%00"])
def test_unsupported_language_gets_english(url: str, lang: str) -> None:
    assert settings_in(url, lang)["lang"] == "en"


def test_own_texts_page_lists_every_text(url: str) -> None:
    page = (ROOT / "docs" / "client.md").read_text("utf-8").partition("## Your own texts")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", page)) >= set(settings_in(url, "en")["texts"])


def test_module_is_small() -> None:
    found = asset(CLIENT)
    assert found is not None
    assert len(gzip.compress(found[0], 9)) < LARGEST


def test_names_of_files_that_do_not_exist_are_not_kept() -> None:
    def kept() -> int:
        return sum(
            function.cache_info().currsize for function in vars(assets).values() if hasattr(function, "cache_info")
        )

    before = kept()
    assert [assets.asset(f"unknown-{n}.js") for n in range(100)] == [None] * 100
    assert kept() == before


def test_module_neither_evaluates_nor_stores() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "phone_verify/web/client").glob("*.js"))
    for word in ("localStorage", "sessionStorage", "document.cookie", "eval(", "new Function", "innerHTML", ".style."):
        assert word not in source


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiler of TypeScript, installed from npm."""
    if shutil.which("npm") is None:
        missing("npm")
    if not os.environ.get("PHONE_VERIFY_TEST_EVERYTHING"):
        pytest.skip("installs TypeScript from npm")
    folder = tmp_path_factory.mktemp("typescript")
    subprocess.run(["npm", "install", "--silent", "--no-audit", "typescript@5"], cwd=folder, check=True, timeout=300)
    return folder / "node_modules" / ".bin" / "tsc"


PROGRAM = """
import { PhoneVerifyClient, PhoneVerifyError, type Verification } from "./phone-verify-client.js";

export async function verify(phone: string, ask: (seen: Verification) => Promise<string>): Promise<string> {
  const client = new PhoneVerifyClient({ api: "https://shop.example/phone/", headers: { Authorization: "Bearer x" } });
  const started = await client.start({ phone, channel: "sms", extra: { token: "t" } });
  const secret: string = started.secret;
  for await (const seen of client.watch(started, { signal: new AbortController().signal })) {
    if (seen.dial !== null) console.log(seen.dial.uri, secret);
  }
  try {
    const { proof } = await client.check(started, await ask(started));
    const { user } = await client.signIn(proof ?? "");
    const { token } = await client.token(proof ?? "");
    client.headers = { Authorization: `Bearer ${token.trim()}` };
    return user.id;
  } catch (error) {
    if (error instanceof PhoneVerifyError && error.code === "wrong_code") return String(error.attemptsLeft);
    throw error;
  }
}

const element = document.createElement("phone-verify");
element.extra = { token: "t" };
element.texts = { continue: "Go on" };
element.addEventListener("phone-verify:verified", (event) => console.log(event.detail.proof.length));
element.addEventListener("phone-verify:signed-in", (event) => console.log(event.detail.user.phone));
element.addEventListener("click", () => element.restart());
// @ts-expect-error: no such channel
void element.client.start({ phone: "+989120000000", channel: "fax" });
// @ts-expect-error: no such field
void element.client.start({ phone: "+989120000000", chanel: "sms" });
"""


def test_types_fit_a_strict_program(typescript: Path, tmp_path: Path) -> None:
    for name in (CLIENT, "phone-verify-client.d.ts"):
        found = asset(name)
        assert found is not None
        (tmp_path / name).write_bytes(found[0])
    (tmp_path / "app.ts").write_text(PROGRAM, "utf-8")
    flags = "--strict --noEmit --target es2022 --module es2022 --moduleResolution bundler --lib es2022,dom,dom.iterable"
    done = subprocess.run([typescript, *flags.split(), "app.ts"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_types_name_what_the_module_exports_and_has() -> None:
    """The declarations are written apart from the source: the names of both are compared."""
    declared = asset("phone-verify-client.d.ts")
    module = asset(CLIENT)
    assert declared is not None
    assert module is not None
    exported = set(re.findall(r"export ?\{ ?([^}]*?) ?\}", module[0].decode())[-1].replace(" ", "").split(","))
    named = set(re.findall(r"^export (?:class|function) (\w+)", declared[0].decode(), re.MULTILINE))
    assert exported == named
    source = (ROOT / "phone_verify/web/client/api.js").read_text("utf-8")
    methods = set(re.findall(r"^  (?:async )?\*?(\w+)\([^#\n]*\{$", source, re.MULTILINE)) - {"constructor"}
    body = declared[0].decode().partition("export class PhoneVerifyClient {")[2].partition("\n}")[0]
    assert methods - {"settings"} == set(re.findall(r"^  (\w+)[(<]", body, re.MULTILINE)) - {"constructor"}


def test_types_name_every_code_of_the_api() -> None:
    declared = asset("phone-verify-client.d.ts")
    assert declared is not None
    named = declared[0].decode().partition("export type Code =")[2].partition(";")[0]
    codes = openapi()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    # Only providers get the one about signatures, and only other programs those about their keys.
    of_programs = {"invalid_key", "key_in_browser", "key_not_accepted", "wrong_service", "channel_not_allowed"}
    assert set(codes) - {"invalid_signature"} - of_programs < set(re.findall(r'"(\w+)"', named))
