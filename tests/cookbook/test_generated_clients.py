"""docs/cookbook/generated_clients.md: clients generated from a running site sign in there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.django_adapter.projects import Block, blocks
from tests.scenarios import Stage, wrong

from .conftest import ROOT, program, run

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "cookbook" / "generated_clients.md").read_text("utf-8")
TYPESCRIPT, PYTHON = (
    blocks(PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]) for heading in ("TypeScript", "Python")
)

TSCONFIG = {
    "compilerOptions": {
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "exactOptionalPropertyTypes": True,
        "noEmit": True,
        "allowImportingTsExtensions": True,
        "target": "es2022",
        "lib": ["es2022", "dom"],
        "module": "nodenext",
        "types": ["node"],
    },
    "include": ["*.ts"],
}
#: A program around `signIn`: it asks for a code on its output, and prints the user or the problem's code.
TERMINAL = """
import { createInterface } from "node:readline";
import { signIn } from "./signIn.ts";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const [baseUrl, phone] = process.argv.slice(2) as [string, string];
try {
  const user = await signIn(baseUrl, phone, async (digits) => {
    console.log(`code ${digits}`);
    return (await lines.next()).value ?? "";
  });
  console.log(JSON.stringify(user));
} catch (error) {
  console.log((error as { problem?: { code: string } }).problem?.code ?? String(error));
}
process.exit();
"""
PYTHON_TERMINAL = """
import json, sys
from sign_in import sign_in

def ask(digits):
    print("code", digits, flush=True)
    return input()

try:
    print(json.dumps(sign_in(*sys.argv[1:], ask).to_dict()))
except RuntimeError as error:
    print(error)
"""


def command_of(page: list[Block], name: str, site: str) -> list[str]:
    """Return the words of the page's command with this name, for this site."""
    [line] = [line for block in page for line in block.text.splitlines() if line.startswith(name)]
    return line.replace("https://shop.example", site).split()[name.count(" ") + 1 :]


def source_of(page: list[Block], folder: Path) -> None:
    """Write the page's file."""
    [source] = [block for block in page if block.name or block.text.startswith("// ")]
    name = source.name or source.text.split()[1]
    (folder / name).write_text(source.text, "utf-8")


def converse(command: list[str], folder: Path, answer: Callable[[int], str], **env: str) -> str:
    """Run a program of the terminal; enter `answer(digits)` when it asks. Return its last line."""
    last = ""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **env}
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for line in running.stdout:
            last = line.strip()
            if asked := re.match(r"code (\d+)", line):
                running.stdin.write(answer(int(asked[1])) + "\n")
                running.stdin.flush()
    return last


def signs_in(command: list[str], folder: Path, site: str, stage: Stage, **env: str) -> None:
    """Sign in after one wrong code; then fail with three of them, and with a text that is not a number."""
    phone, entered = stage.phone(), 0

    def right_second(digits: int) -> str:
        nonlocal entered
        entered += 1
        code = stage.code(phone)
        assert len(code) == digits
        return code if entered == 2 else wrong(code)

    def always_wrong(digits: int) -> str:
        nonlocal entered
        entered += 1
        return wrong(stage.code(phone))

    mount = f"{site}/phone"
    user = json.loads(converse([*command, mount, phone], folder, right_second, **env))
    assert (user["phone"], bool(user["id"]), entered) == (phone, True, 2)
    phone, entered = stage.phone(), 0
    assert converse([*command, mount, phone], folder, always_wrong, **env) == "wrong_code"
    assert entered == 3
    assert converse([*command, mount, "1"], folder, always_wrong, **env) == "invalid_phone"


def test_typescript_client_signs_in(site: str, stage: Stage, node_modules: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules)
    node = program("node")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    generate = command_of(TYPESCRIPT, "npx openapi-typescript", site)
    run([node, "node_modules/openapi-typescript/bin/cli.js", *generate], tmp_path)
    source_of(TYPESCRIPT, tmp_path)
    (tmp_path / "main.ts").write_text(TERMINAL)
    run([node, "node_modules/typescript/bin/tsc"], tmp_path)
    bundle = ["--bundle", "--platform=node", "--format=esm", "--outfile=main.mjs", "--log-level=warning"]
    run([node, "node_modules/esbuild/bin/esbuild", "main.ts", *bundle], tmp_path)
    signs_in([node, "main.mjs"], tmp_path, site, stage)


def test_typescript_client_refuses_a_wrong_field(site: str, node_modules: Path, tmp_path: Path) -> None:
    """The types are those of the API: a misspelt field does not compile."""
    (tmp_path / "node_modules").symlink_to(node_modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    node, generate = program("node"), command_of(TYPESCRIPT, "npx openapi-typescript", site)
    run([node, "node_modules/openapi-typescript/bin/cli.js", *generate], tmp_path)
    source_of(TYPESCRIPT, tmp_path)
    path = tmp_path / "signIn.ts"
    path.write_text(path.read_text().replace('channel: "sms"', 'channel: "smoke"'))
    command = [node, "node_modules/typescript/bin/tsc"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "'\"smoke\"' is not assignable" in done.stdout


def test_python_client_signs_in(site: str, stage: Stage, tmp_path: Path) -> None:
    # The generator formats its files with ruff, which it calls by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    generate = command_of(PYTHON, "openapi-python-client", site)
    printed = run([sys.executable, "-m", "openapi_python_client", *generate], tmp_path, PATH=path)
    assert "Warning" not in printed
    source_of(PYTHON, tmp_path)
    (tmp_path / "main.py").write_text(PYTHON_TERMINAL)
    checked = ["--strict", "--allow-untyped-defs", "--allow-untyped-calls", "--follow-imports=silent"]
    run([sys.executable, "-m", "mypy", *checked, f"--cache-dir={tmp_path}/cache", "sign_in.py"], tmp_path)
    signs_in([sys.executable, "main.py"], tmp_path, site, stage)
