"""The documents: links resolve, every setting is documented, and the architecture names every module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from docsite.page_links import REPOSITORY
from phone_verify.config.settings import KNOWN
from tests.cases import in_one_test

ROOT = Path(__file__).parents[1]
#: `docs/index.md` is the site's home page: it links generated pages, and the site's build checks its links.
PAGES = sorted([*ROOT.glob("*.md"), *(set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs" / "index.md"})])
PACKAGES = ("phone_verify", "phone_verify_django", "phone_verify_flask")


def prose(page: Path) -> str:
    """The page without its code."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return GitHub's anchor of a heading."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Return the targets of the inline links, and of those defined on a separate line."""
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[\w-]+\]: (\S+)", prose(page), re.MULTILINE)
    return [inline or defined for inline, defined in found]


@in_one_test
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.removeprefix(REPOSITORY).partition("#")
        if re.match(r"https?:|mailto:", path):
            continue
        there = ROOT / path if link.startswith(REPOSITORY) else (page.parent / path).resolve() if path else page
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


def test_front_matter_is_yaml() -> None:
    """The site shows the front matter of a page as text if it cannot be read."""
    pages = [text for path in (ROOT / "docs").rglob("*.md") if (text := path.read_text("utf-8")).startswith("---\n")]
    assert pages
    for text in pages:
        assert isinstance(yaml.safe_load(text.split("---\n")[1]), dict)


def test_readme_links_are_absolute() -> None:
    """A package index shows the README without the other files."""
    assert [link for link in links(ROOT / "README.md") if "://" not in link] == []


def test_readme_names_only_defined_links() -> None:
    text = prose(ROOT / "README.md")
    assert set(re.findall(r"\]\[([\w-]+)\]", text)) == set(re.findall(r"^\[([\w-]+)\]: ", text, re.MULTILINE))


def test_settings_page_lists_exactly_the_settings() -> None:
    from phone_verify_django.app_settings import NAMES

    table = (ROOT / "docs" / "settings.md").read_text("utf-8").split("\n## ")[0]
    told = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    names = {name for cell in told for name in re.findall(r"`(\w+)`", cell)}
    assert names == {name.upper() for name in KNOWN} | set(NAMES)


@pytest.mark.parametrize("package", PACKAGES)
def test_architecture_page_names_every_module(package: str) -> None:
    tree = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("```")[1]
    [part] = re.findall(rf"^{package}/.*?(?=^\S|\Z)", tree, re.DOTALL | re.MULTILINE)
    # Two spaces separate the names from each other and from their description.
    cells = {cell for line in part.splitlines()[1:] for cell in re.split(r" {2,}", line)}
    folder = ROOT / package
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in there if not name.startswith("_")} - {cell.removesuffix("/") for cell in cells} == set()


def config_samples() -> list[tuple[Path, dict[str, list[str]]]]:
    """Return each group of adjacent lines with DSNs of the README and the provider pages."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs" / "providers").glob("*.md"))]:
        for group in re.findall(r"(?:^ *PHONE_VERIFY_\w+=.*://.*\n)+", page.read_text("utf-8"), re.MULTILINE):
            lines = re.findall(r'PHONE_VERIFY_(\w+)="?([^"#\n]+)', group)
            found.append((page, {name.lower(): value.split() for name, value in lines}))
    return found


@in_one_test
@pytest.mark.parametrize(("page", "dsns"), config_samples(), ids=lambda each: getattr(each, "name", ""))
def test_dsns_of_a_page_are_one_driver_for_each_provider(page: Path, dsns: dict[str, list[str]]) -> None:
    """A second driver of an account has another webhook URL, which the provider does not call."""
    from phone_verify.config.drivers import load_drivers

    drivers = {driver.name: type(driver) for carriers in load_drivers(dsns).values() for driver in carriers}
    assert len(set(drivers.values())) == len(drivers), drivers
    assert set(re.findall(r"/webhooks/([\w-]+)/SECRET", page.read_text("utf-8"))) <= drivers.keys()


def test_samples_hold_no_literal_key() -> None:
    """Every key in a sample is generated by a command or read from the environment: literal ones get copied."""
    drawn = re.compile(r"os\.environ|\$\(|secrets\.token")
    for page in PAGES:
        for block in re.findall(r"^```.*?^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for name, value in re.findall(r"(\w*(?:SECRET|_KEY|PASSWORD|SALT)\w*)[\"'\]]*\s*=(?!=)\s*(.+)", block):
                if name != "ACCESS_KEY":
                    assert drawn.search(value), f"{page.name}: {name}={value}"


def test_security_page_names_tests_that_exist() -> None:
    """Each requirement that holds, wholly or in part, names a test, and each named test is defined."""
    suite = ROOT / "phone_verify" / "testing" / "stores"
    sources = [path for folder in (ROOT / "tests", suite) for path in folder.rglob("*.py")]
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
