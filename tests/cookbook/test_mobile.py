"""docs/cookbook/mobile.md: the Kotlin client is compiled and signs in; the others are parsed, and their calls made."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients import Browser, HttpCarrier
from tests.conftest import missing
from tests.scenarios import Stage, wrong

from .conftest import ROOT, program, run

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "cookbook" / "mobile.md").read_text("utf-8")
#: Language and text of each source, by its name.
SOURCES = {
    name: (language, body)
    for language, name, body in re.findall(r"^```(\w+)\n(?://|#) (\S+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
}
CLIENTS = ("PhoneVerify.kt", "PhoneVerify.swift", "phone_verify.dart")
#: The classes of org.json as Android has them; the package is in Debian.
ORG_JSON = Path("/usr/share/java/json-android.jar")

#: Signs in after a wrong code: it asks for codes on its output, and prints the user.
MAIN = """
fun main(words: Array<String>) {
    val client = PhoneVerify(words[0])
    val started = client.start(words[1], "sms")
    try {
        PhoneVerify(words[0]).get()
    } catch (refused: Refused) {
        println(refused.problem.getString("code"))
    }
    client.resend("sms")
    var proof = ""
    while (proof.isEmpty()) {
        println("code " + started.getInt("code_length"))
        try {
            proof = client.check(readLine()!!).getString("proof")
        } catch (refused: Refused) {
            println(refused.message + " " + refused.problem.getInt("attempts_left"))
        }
    }
    println(client.signIn(proof).getJSONObject("user"))
    println(client.get().getString("status"))
    client.cancel()
}
"""
_CALL = re.compile(r"""\bcall\(["'](\w+)["'], ["']([^"']*)["'](?:, (.*?))?\)""")


def calls(source: str) -> list[tuple[str, str, list[str]]]:
    """Return method, path and names of the fields of each call that a source makes."""
    return [
        (method, re.sub(r"\$id|\\\(id\)", "{id}", path), re.findall(r"[\"'](\w+)[\"'](?:: | to )", fields))
        for method, path, fields in _CALL.findall(source)
    ]


def syntax_errors(language: str, name: str, folder: Path) -> list[str]:
    """Return what a parser of this language reports."""
    return run([program("node"), str(Path(__file__).with_name("parse.mjs")), language, name], folder).splitlines()


@pytest.mark.parametrize("name", [name for name, (language, _) in SOURCES.items() if language != "python"])
def test_outline_parses(name: str, node_modules: Path, tmp_path: Path) -> None:
    language, text = SOURCES[name]
    (tmp_path / name).write_text(text)
    (tmp_path / "node_modules").symlink_to(node_modules)
    assert syntax_errors(language, name, tmp_path) == []


def test_syntax_error_is_reported(node_modules: Path, tmp_path: Path) -> None:
    language, text = SOURCES["phone_verify.dart"]
    (tmp_path / "broken.dart").write_text(text.replace("(", "", 1))
    (tmp_path / "node_modules").symlink_to(node_modules)
    assert syntax_errors(language, "broken.dart", tmp_path)


@pytest.mark.parametrize("name", CLIENTS)
def test_calls_of_an_outline_are_those_of_the_api(name: str, site: str, stage: Stage) -> None:
    """Each call, in the order of the source, with the header and the type that the source sets."""
    source = SOURCES[name][1]
    assert all(word in source for word in ("Verification-Secret", "application/json", "Content-Type"))
    found = calls(source)
    assert [path for _, path, _ in found] == [
        "verifications", "verifications/{id}/check", "verifications/{id}/resend", "verifications/{id}",
        "verifications/{id}", "session",
    ]  # fmt: skip
    phone, client = stage.phone(), Browser(HttpCarrier(site))
    known: dict[str, Any] = {"phone": phone, "channel": "sms"}

    def make(method: str, path: str, fields: list[str]) -> Any:
        body = {field: known[field] for field in fields} if fields else None
        answer = client.call(
            method, "v1/" + path.replace("{id}", known.get("id", "")), body, secret=known.get("secret")
        )
        assert answer.status in (200, 201, 204), (method, path, answer.text)
        return answer.json() if answer.status != 204 else {}

    start, check, resend, get, cancel, sign_in = found
    known |= make(*start)
    known |= make(*resend)
    known["code"] = stage.code(phone)
    assert make(*get)["status"] == "sent"
    known |= make(*check)
    assert make(*sign_in)["user"]["phone"] == phone
    assert make(*cancel) == {}


def test_kotlin_client_signs_in(site: str, stage: Stage, node_modules: Path, tmp_path: Path) -> None:
    home = node_modules / "kotlin-compiler"
    java = program("java")
    if not ORG_JSON.exists():
        missing("libandroid-json-org-java")
    for name, text in (("PhoneVerify.kt", SOURCES["PhoneVerify.kt"][1]), ("Main.kt", MAIN)):
        (tmp_path / name).write_text(text)
    compiler = [java, "-cp", str(home / "lib" / "kotlin-compiler.jar"), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
    options = ["-kotlin-home", str(home), "-cp", str(ORG_JSON), "-include-runtime", "-d", "client.jar"]
    run([*compiler, *options, "PhoneVerify.kt", "Main.kt"], tmp_path)
    phone, pipe, printed = stage.phone(), subprocess.PIPE, []
    command = [java, "-cp", f"client.jar:{ORG_JSON}", "MainKt", f"{site}/phone/v1/", phone]
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for line in client.stdout:
            printed.append(line.strip())
            if line == "code 6\n":
                code = stage.code(phone)
                client.stdin.write((wrong(code) if printed.count("code 6") == 1 else code) + "\n")
                client.stdin.flush()
    assert client.returncode == 0
    assert printed[:4] == ["not_found", "code 6", "wrong_code 2", "code 6"]
    assert json.loads(printed[4])["phone"] == phone
    assert printed[5] == "verified"


def test_hash_of_the_app_is_google_s(tmp_path: Path) -> None:
    """The page's commands, with a new key: Google's definition is repeated here."""
    [keys] = [body for body in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "keytool" in body]
    keytool = program("keytool")
    made = "-genkeypair -alias release -keystore release.jks -keyalg RSA -dname CN=shop -storepass storepass"
    run([keytool, *made.split()], tmp_path)
    (tmp_path / "app_hash.py").write_text(SOURCES["app_hash.py"][1])
    script = keys.replace("python ", f"{sys.executable} ")
    printed = run([program("bash"), "-euc", script], tmp_path, STOREPASS="storepass")
    certificate = (tmp_path / "certificate.der").read_bytes()
    digest = hashlib.sha256(b"com.example.shop " + certificate.hex().encode()).digest()
    assert printed.splitlines()[-1] == base64.b64encode(digest[:9]).decode()[:11]


def test_association_file_is_json() -> None:
    [body] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    [app] = json.loads(body)["webcredentials"]["apps"]
    assert re.fullmatch(r"[A-Z0-9]{10}\.[\w.]+", app)
