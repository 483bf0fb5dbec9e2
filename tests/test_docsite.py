"""The documentation site: generated tables, links, the page of the HTTP API and the check of the built pages."""

from __future__ import annotations

import re
from pathlib import Path

import griffe
import pytest

from docsite import blocks, decision_index, http_api, links, markdown, settings_table, staging
from docsite.page_links import REPOSITORY, on_site
from docsite.provider_links import with_provider_links
from phone_verify.api.openapi import openapi
from phone_verify.drivers.dsn import schemes
from tests.cases import in_one_test

ROOT = Path(__file__).parents[1]
#: A status and a problem code where the code writes them.
PAIR = re.compile(r"\(\s*(\d{3}),\s*\"([a-z_]+)\"")


def test_checked_in_tables_match_the_code() -> None:
    assert blocks.stale() == [], "run: python -m docsite tables"


def test_stale_table_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(blocks.TABLES, "settings", lambda: "| other |")  # type: ignore[arg-type]
    assert blocks.stale() == ["docs/settings.md"]


def test_decision_without_its_head_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_index, "FOLDER", tmp_path)
    record = tmp_path / "0007-a.md"
    record.write_text("# 7. A\n\n2026-11-26 · Core\n\n**Decision.** A.\n")
    assert decision_index.decision_index() == "## Core\n\n- [A](0007-a.md) (2026-11-26)"
    record.write_text("# 8. A\n\n2026-11-26 · Core\n")
    with pytest.raises(ValueError, match=r"0007-a\.md"):
        decision_index.decision_index()


def test_table_of_settings_shows_range_and_default() -> None:
    rows = {row.split(" | ")[0]: row for row in settings_table.settings_table().splitlines()}
    assert rows["| `TTL`"].endswith("| seconds, 30 to 600 | 300 |")
    assert rows["| `SENDS_PER_HOUR`"].endswith("| number; 0: no limit | 5 |")
    assert rows["| `NOTIFY_OLD_NUMBER`"].endswith("| `False` |")


@pytest.mark.slow
def test_names_of_drivers_link_to_their_pages(tmp_path: Path) -> None:
    staging.stage(tmp_path / "pages")
    page = (tmp_path / "pages" / "choosing_a_provider.md").read_text("utf-8")
    linked = re.findall(r"\[`([a-z0-9-]+)`\]\((providers/[a-z0-9-]+\.md)\)", page)
    assert {"kavenegar", "sms-ru", "twilio-verify", "telegram-gateway"} <= {name for name, _ in linked}
    for name, place in linked:
        assert place == f"providers/{name}.md"
        assert (tmp_path / "pages" / place).is_file(), name
    assert not set(re.findall(r"(?<!\[)`([a-z0-9-]+)`", page)) & set(schemes()), "a name without a link"


def test_links_of_drivers_leave_code_and_links_alone() -> None:
    page = "`amoot`, `AMOOT`, `amoot://KEY@default` and [`amoot`](a.md)\n\n```\n`amoot`\n```\n"
    assert with_provider_links(page) == page.replace("`amoot`,", "[`amoot`](providers/amoot.md),", 1)


def test_table_cell_escapes_pipes_and_lines() -> None:
    assert markdown.table(("a",), [("b|c\nd",)]).splitlines()[2] == r"| b\|c d |"


def test_problem_page_lists_codes_with_their_statuses() -> None:
    page = (ROOT / "docs" / "problems.md").read_text("utf-8")
    listed = {(int(status), code) for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE)}
    codes = set(openapi()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    sources = [path.read_text("utf-8") for path in (ROOT / "phone_verify").rglob("*.py")]
    pairs = {(int(status), code) for source in sources for status, code in PAIR.findall(source)}
    assert listed == {(status, code) for status, code in pairs if code in codes}
    assert {code for _, code in listed} == codes


def test_http_page_has_every_operation_and_schema() -> None:
    page = http_api.page(openapi())
    for path, item in openapi()["paths"].items():
        for method in item.keys() & {"get", "post", "put", "delete"}:
            assert f"### {method.upper()} {path} {{" in page
    assert re.findall(r"^### (\w+) \{ #schema-", page, re.MULTILINE) == list(openapi()["components"]["schemas"])
    linked = set(re.findall(r"\]\(#([\w-]+)\)", page))
    assert linked <= set(re.findall(r"\{ #([\w-]+) \}", page))


@in_one_test
@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("docs/django.md", "pages.md#frames", "pages.md#frames"),
        ("docs/providers/amoot.md", "../settings.md", "../settings.md"),
        ("docs/security.md", "../SECURITY.md", "reporting.md"),
        ("docs/async.md", "../phone_verify/api/openapi.yaml", "http_api.md"),
        ("docs/demo.md", "../README.md#flask-in-five-minutes", "quickstart_flask.md"),
        ("docs/stores.md", "../pyproject.toml", REPOSITORY + "pyproject.toml"),
        ("README.md", REPOSITORY + "docs/django.md#a", "django.md#a"),
        ("CHANGELOG.md", "docs/stores.md", "stores.md"),
        ("docs/django.md", "https://example.com/", "https://example.com/"),
        ("docs/django.md", "#here", "#here"),
    ],
)
def test_link_leads_to_the_same_page_on_the_site(page: str, link: str, there: str) -> None:
    assert on_site(f"See [it]({link}).", page) == f"See [it]({there})."


def test_link_on_a_separate_line_is_rewritten() -> None:
    assert on_site(f"See [it][x].\n\n[x]: {REPOSITORY}docs/django.md\n", "README.md").endswith("\n[x]: django.md\n")


def test_link_in_code_is_kept() -> None:
    code = "`[it](../SECURITY.md)`\n```python\nx[1](../SECURITY.md)\n```\n"
    assert on_site(code, "docs/a.md") == code


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="nope/">x</a>', "nope/ leads nowhere"),
        ('<a href="other/#nope">x</a>', "other/#nope names no anchor"),
        ('<a href="#nope">x</a>', "#nope names no anchor"),
        ('<script src="https://cdn.example/x.js"></script>', "fetches https://cdn.example/x.js from another host"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "fetches //cdn.example/x.css from another host"),
        ('<img src="data:," alt="">', "1 images without a text"),
    ],
)
def test_check_of_the_site_reports_a_defect(tmp_path: Path, body: str, problem: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text('<h2 id="here">x</h2>')
    (tmp_path / "index.html").write_text(body)
    assert links.problems(tmp_path) == [f"index.html: {problem}"]


def test_check_of_the_site_accepts_sound_links(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text('<h2 id="here">x</h2><a href="..">up</a>')
    (tmp_path / "index.html").write_text('<a href="other/#here">x</a><a href="https://example.com/">y</a>')
    assert links.problems(tmp_path) == []


def test_reference_shows_the_constructor_of_a_value_class() -> None:
    extensions = griffe.load_extensions(str(ROOT / "docsite/value_classes.py"))
    model = griffe.load("phone_verify.model", search_paths=[ROOT], extensions=extensions, allow_inspection=False)
    receipt = model["Receipt"]
    assert isinstance(receipt, griffe.Class)
    assert [parameter.name for parameter in receipt.parameters][:3] == ["self", "reference", "code"]
