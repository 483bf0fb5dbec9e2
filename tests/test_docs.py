"""The documents: links lead somewhere, every setting is told, and the architecture names every module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docsite.page_links import REPOSITORY
from phone_verify.config.settings import KNOWN

ROOT = Path(__file__).parents[1]
#: `docs/index.md` is the site's home page: it links generated pages, and the site's build checks its links.
PAGES = sorted([*ROOT.glob("*.md"), *(set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs" / "index.md"})])
PACKAGES = ("phone_verify", "phone_verify_django", "phone_verify_flask")


def prose(page: Path) -> str:
    """The page without its code."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Return the targets of the links in the sentences, and of those that are defined on a line of their own."""
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[\w-]+\]: (\S+)", prose(page), re.MULTILINE)
    return [inline or defined for inline, defined in found]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.removeprefix(REPOSITORY).partition("#")
        if re.match(r"https?:|mailto:", path):
            continue
        there = ROOT / path if link.startswith(REPOSITORY) else (page.parent / path).resolve() if path else page
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


def test_readme_links_are_absolute() -> None:
    """A package index shows the README without the files beside it."""
    assert [link for link in links(ROOT / "README.md") if "://" not in link] == []


def test_readme_names_only_defined_links() -> None:
    text = prose(ROOT / "README.md")
    assert set(re.findall(r"\]\[([\w-]+)\]", text)) == set(re.findall(r"^\[([\w-]+)\]: ", text, re.MULTILINE))


def test_the_settings_page_tells_every_setting_and_no_other() -> None:
    from phone_verify_django.app_settings import NAMES

    table = (ROOT / "docs" / "settings.md").read_text("utf-8").split("\n## ")[0]
    told = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    names = {name for cell in told for name in re.findall(r"`(\w+)`", cell)}
    assert names == {name.upper() for name in KNOWN} | set(NAMES)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_names_every_module(package: str) -> None:
    tree = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("```")[1]
    [part] = re.findall(rf"^{package}/.*?(?=^\S|\Z)", tree, re.DOTALL | re.MULTILINE)
    # Two spaces part the names from each other and from what is said of them.
    cells = {cell for line in part.splitlines()[1:] for cell in re.split(r" {2,}", line)}
    folder = ROOT / package
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in there if not name.startswith("_")} - {cell.removesuffix("/") for cell in cells} == set()


def test_samples_hold_no_literal_key() -> None:
    """Every key in a sample is drawn by a command or read from the environment: literal ones get copied."""
    drawn = re.compile(r"os\.environ|\$\(|secrets\.token")
    for page in PAGES:
        for block in re.findall(r"^```.*?^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for name, value in re.findall(r"(\w*(?:SECRET|_KEY|PASSWORD|SALT)\w*)[\"'\]]*\s*=(?!=)\s*(.+)", block):
                if name != "ACCESS_KEY":
                    assert drawn.search(value), f"{page.name}: {name}={value}"


def test_security_page_names_tests_that_exist() -> None:
    """Each requirement that holds, wholly or in part, names a test, and each named test is defined."""
    sources = [*(ROOT / "tests").rglob("*.py"), ROOT / "phone_verify" / "testing" / "stores.py"]
    defined = {
        name
        for path in sources
        for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text("utf-8"), re.M)
    }
    named: dict[str, set[str]] = {}
    requirement, met = "", {}
    for line in (ROOT / "docs" / "security.md").read_text("utf-8").splitlines():
        if not (row := re.fullmatch(r"\| ([^|]*?) ?\| ([^|]*?) ?\| (.+) \|", line)):
            continue
        if row[1]:
            requirement = f"{row[1]}: {row[3]}"
            met[requirement] = row[2]
        named.setdefault(requirement, set()).update(re.findall(r"`(test_\w+)`", row[3]))
    assert set().union(*named.values()) - defined == set()
    assert {name for name, tests in named.items() if met[name] in ("yes", "partly") and not tests} == set()
    assert len(met) > 40
