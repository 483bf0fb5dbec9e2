"""docs/production.md, docs/costs.md and docs/troubleshooting.md: their files are checked, and their numbers counted."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from phone_verify.api.openapi import openapi
from phone_verify.config.settings import KNOWN, Settings
from phone_verify.config.site import build_site
from phone_verify.policy import RESERVED_SHARE, Policy
from phone_verify_flask.cli import commands as flask_commands
from tests.conftest import missing

ROOT = Path(__file__).parents[1]
PRODUCTION, COSTS, TROUBLE = (
    (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("production", "costs", "troubleshooting")
)
_BLOCK = re.compile(r"^```(\w+)\n(?:# (\S+?)(?:, [^\n]*)?\n)?(.*?)^```", re.DOTALL | re.MULTILINE)
#: The files of docs/production.md.
FILES = {name: text for _, name, text in _BLOCK.findall(PRODUCTION) if name}
HEALTH = "/phone/v1/health"
READY = "/phone/v1/ready"
PRICE = 0.01


def program(name: str) -> str:
    """Return the path of a program, or skip."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        missing(name)
    return str(found)


def test_every_block_of_production_is_known() -> None:
    """A new block needs a test: here, or with the site in tests/django_adapter/test_production_doc.py."""
    assert set(FILES) == {
        "/etc/nginx/conf.d/shop.conf",
        "healthcheck.py",
        "/etc/systemd/system/shop.service",
        "Dockerfile",
        "compose.yaml",
        "deployment.yaml",
        "/etc/cron.d/shop",
        "shop/tasks.py",
        "shop/settings.py",
        "shop/language_urls.py",
    }
    assert sorted(language for language, name, _ in _BLOCK.findall(PRODUCTION) if not name) == ["sh"] * 4


def test_environment_file_is_for_its_user_only(tmp_path: Path) -> None:
    [script] = [text for language, _, text in _BLOCK.findall(PRODUCTION) if language == "sh" and "umask" in text]
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True, timeout=30)
    made = tmp_path / "shop.env"
    assert made.stat().st_mode & 0o777 == 0o600
    values = dict(line.split("=", 1) for line in made.read_text().splitlines())
    environ = {name: value.strip("'") for name, value in values.items()}
    site = build_site(
        Settings.from_mapping({"store": "memory:"}, environ), framework_keys=[environ["SECRET_KEY"]], production=True
    )
    assert site.public_url == "https://shop.example"
    assert "umask" not in script.partition(")\n")[2], "files made later, like static ones, are readable"
    assert script.startswith("(\n")


def flask_lines(file: str) -> list[str]:
    """Return the lines that differ on Flask."""
    return re.findall(rf"^\| `?{file}`? \| `([^`]+)` \|$", PRODUCTION, re.MULTILINE)


@pytest.mark.parametrize("replaced", [[], flask_lines("shop.service")], ids=["Django", "Flask"])
def test_unit_of_systemd_is_valid(tmp_path: Path, replaced: list[str]) -> None:
    unit = FILES["/etc/systemd/system/shop.service"]
    for line in replaced:
        unit, count = re.subn(rf"^{line.partition('=')[0]}=.*$", line, unit, flags=re.MULTILINE)
        assert count == 1
    for name in ("gunicorn", "python", "flask"):
        unit = unit.replace(f"/srv/shop/.venv/bin/{name}", sys.executable)
    (tmp_path / "shop.service").write_text(unit)
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", str(tmp_path / "shop.service")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "shop.service" not in done.stderr, done.stderr


def test_server_and_image_install_what_the_guide_s_project_imports() -> None:
    installs = re.findall(
        r"pip install (?:--no-cache-dir )?'phone-verify\[([\w,]+)\]' (.+)(?<!\|)$", PRODUCTION, re.MULTILINE
    )
    assert len(installs) == 2
    for extras, others in installs:
        assert {"otp", "postgresql"} <= set(extras.split(","))
        assert others.split() == ["dj-database-url", "gunicorn"]


def test_compose_file_starts_what_the_page_describes() -> None:
    document = yaml.safe_load(FILES["compose.yaml"])
    web, database = document["services"]["web"], document["services"]["database"]
    assert web["healthcheck"]["test"] == ["CMD", "python", "healthcheck.py"]
    assert web["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert all(port.startswith("127.0.0.1:") for port in web["ports"])
    assert [name.partition(":")[0] for name in database["volumes"]] == list(document["volumes"])
    assert "healthcheck" in database
    [command] = re.findall(r"^CMD (\[.*\])$", FILES["Dockerfile"], re.MULTILINE)
    assert yaml.safe_load(command)[:2] == ["gunicorn", "shop.wsgi"]


def test_lines_for_flask_fit_its_guide() -> None:
    guide = (ROOT / "docs" / "flask.md").read_text("utf-8")
    [serve] = re.findall(r"^gunicorn '(app:create_app\(\))' (.*)$", guide, re.MULTILINE)
    _, start = flask_lines("shop.service")
    assert start.split("gunicorn ")[1] == " ".join(serve)
    pip, command = flask_lines("Dockerfile")
    assert yaml.safe_load(command.removeprefix("CMD "))[:2] == ["gunicorn", serve[0]]
    [installed] = re.findall(r"^pip install 'phone-verify\[[^]]*\]' (.*)$", guide.split("### 2.")[0], re.MULTILINE)
    assert pip.endswith(f"' {installed} gunicorn")
    [cron] = flask_lines("cron")
    assert cron.split()[:-3] == FILES["/etc/cron.d/shop"].split()[:-3]
    assert cron.split()[-1] in flask_commands.commands
    assert flask_lines("Compose") == ["docker compose run --rm web flask db upgrade"]


def test_kubernetes_asks_the_store_before_visitors_come() -> None:
    [container] = yaml.safe_load(FILES["deployment.yaml"])
    probe = container["readinessProbe"]["httpGet"]
    assert (probe["path"], probe["port"]) == (READY, container["ports"][0]["containerPort"])
    assert {HEALTH.removeprefix("/phone"), READY.removeprefix("/phone")} <= openapi()["paths"].keys()
    assert "httpGet" not in container["livenessProbe"], "a restart does not repair the store"


def test_limits_of_the_costs_page_are_the_defaults() -> None:
    policy, table = Policy(), {}
    for line in COSTS.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[1].startswith("`SENDS"):
            table[cells[1].strip("`").lower()] = cells[2:]
    assert len(table) == 4
    for name, (hour, day, cost) in table.items():
        limit = getattr(policy, name)
        # The whole site's row counts everybody's sends, the others those of an attacker.
        least = limit if name in ("sends_per_hour", "sends_per_hour_total") else limit - limit // RESERVED_SHARE
        assert hour.startswith(f"{limit:,}")
        assert least == limit or hour.endswith(f" {least:,}")
        assert (day, cost) == (f"{least * 24:,}", f"{least * 24 * PRICE:.2f}"), name
    total = policy.sends_per_hour_total
    others = total - total // RESERVED_SHARE
    assert f"| {others:,} | {others * 24:,} | {others * 24 * PRICE:.2f} |" in COSTS
    assert f"24 × {total:,} × {PRICE} = {total * 24 * PRICE:.0f}" in " ".join(COSTS.split())
    assert f"{total * 24 * 30 * PRICE:,.0f} in 30 days" in " ".join(COSTS.split())
    assert f"750 × 24 × {PRICE} = {750 * 24 * PRICE:.0f}" in " ".join(COSTS.split())


def test_documented_settings_against_fraud_are_valid() -> None:
    found = dict(re.findall(r"^export PHONE_VERIFY_(\w+)=(\S+)$", COSTS, re.MULTILINE))
    listener = found.pop("ON_EVENT")
    assert listener == "metrics.watch"
    policy = Settings.from_mapping({name.lower(): value for name, value in found.items()}).policy
    assert (policy.sends_per_hour_total, policy.allowed_regions) == (750, {"IR"})


@pytest.mark.parametrize(("used", "warns"), [(49, True), (50, False)])
def test_documented_listener_warns_of_unused_codes(used: int, warns: bool, caplog: pytest.LogCaptureFixture) -> None:
    [source] = re.findall(r"```python\n# metrics\.py\n(.*?)```", COSTS, re.DOTALL)
    module: dict[str, Any] = {}
    exec(source, module)

    def happen(verb: str, outcome: str = "ok") -> None:
        module["watch"](SimpleNamespace(verb=verb, outcome=outcome))

    for _ in range(used):
        happen("check")
        happen("check", "wrong_code")
    for n in range(100):
        happen("start" if n % 2 else "resend")
        happen("start", "too_many_requests")
    assert bool(caplog.records) is warns
    assert not module["counts"]


def test_troubleshooting_quotes_what_the_product_says() -> None:
    sources = "\n".join(
        re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8"))
        for package in ("phone_verify", "phone_verify_django", "phone_verify_flask")
        for path in (ROOT / package).rglob("*.py")
    )
    for said in re.findall(r'^\| "([^"]+)" \||`(the [^`]+)`', TROUBLE, re.MULTILINE):
        assert "".join(said) in sources, said
    codes = set(openapi()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    others = {"phone_verify", "phone_verify_django", "shared_phones", "continue_at"}
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", TROUBLE)) - others
    assert named <= codes
    # The names of Django's settings, and of the environment's variables, without prefix.
    theirs = {"INSTALLED_APPS", "DIRS", "SECRET_KEY", "OK"}
    settings = {name.lower() for name in set(re.findall(r"`([A-Z][A-Z_]+)`", TROUBLE)) - theirs}
    assert settings <= set(KNOWN)


@pytest.mark.parametrize("page", ["production", "costs", "troubleshooting"])
def test_documented_commands_exist(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    commands = ROOT / "phone_verify_django" / "management" / "commands"
    for name in re.findall(r"\bphone_verify_[a-z]+(?= NUMBER|`| --|$)", text):
        if name not in ("phone_verify_django", "phone_verify_flask"):
            assert (commands / f"{name}.py").exists(), name
    for name in re.findall(r"flask phone-verify ([a-z-]+)", text):
        assert name in flask_commands.commands, name


def test_pages_give_a_file_name_to_one_file_only() -> None:
    """A reader who follows two pages overwrites nothing. Settings and URLs are added to."""
    grown = {"shop/settings.py", "shop/urls.py", "conftest.py"}
    pages: dict[str, set[str]] = {}
    for page in sorted((ROOT / "docs").glob("*.md")):
        for name in re.findall(
            r"^```\w+\n(?:# |<!-- |\{# )([\w/.]+\.(?:py|html|yaml|conf))\b", page.read_text("utf-8"), re.MULTILINE
        ):
            pages.setdefault(name, set()).add(page.name)
    assert {name: found for name, found in pages.items() if len(found) > 1 and name not in grown} == {}
