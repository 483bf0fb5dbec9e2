"""Docstrings, comments and documentation are plain technical English: few of the words that are not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cases import in_one_test

ROOT = Path(__file__).parents[1]
#: Words and phrases that the field does not use; each page and each part has at most one in a thousand words.
AVOIDED = (
    "whoever", "whatever", "somebody", "nobody", "anybody", "told", "stands", "is no", "are no", "is none", "anew",
    "begun", "own number", "so many", "so long", "lately", "once more", "burnt", "of ours", "of its own", "for it is",
    "goes on", "comes to", "who has", "who is", "who signed", "is over", "by hand", "at once", "a moment",
    "somewhere", "beside", "thereof", "whereof",
)  # fmt: skip
_AVOIDED = re.compile(r"\b(?:" + "|".join(word.replace(" ", r"\s+") for word in AVOIDED) + r")\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_QUOTED = re.compile(r"`[^`\n]*`|\"[^\"\n]*\"|“[^”\n]*”")
#: `tokenize` needs ten times as long for all the code; a comment is in the group.
_STRING_OR_COMMENT = re.compile(
    r"""'{3}(?:\\.|.)*?'{3}|"{3}(?:\\.|.)*?"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|(#[^\n]*)""", re.DOTALL
)
LONGEST_LINE = 120

PARTS = (
    "phone_verify",
    "phone_verify_django",
    "phone_verify_flask",
    "docsite",
    "example_projects",
    "benchmarks",
    "tests",
)
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if "decisions" not in path.parts
)


def prose_of_code(source: str) -> Iterator[str]:
    """Yield the docstrings and comments of a module.

    A docstring is the first string of the module, or of a block, on a line that it begins. Python's parser, which takes
    ten times as long for all the code, finds the same.
    """
    end, opens = 0, True
    for found in _STRING_OR_COMMENT.finditer(source):
        before = source[end : found.start()].rstrip()
        opens = before.endswith(":") if before else opens
        end = found.end()
        if found[1]:
            yield found[1]
            continue
        line = source[source.rfind("\n", 0, found.start()) + 1 : found.start()]
        if opens and found[0].startswith('"""') and not line.strip():
            yield found[0][3:-3]
        opens = False


def prose_of_page(path: Path) -> Iterator[str]:
    """Yield a page without its fenced code."""
    yield re.sub(r"^( *)(```|~~~).*?^ *\2", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def measured(texts: Iterator[str]) -> tuple[int, list[str]]:
    """Return how many words these texts have, and which of them are avoided; code and quotations are left out."""
    words, found = 0, []
    for text in texts:
        plain = _QUOTED.sub("", text)
        words += len(_WORD.findall(plain))
        found += [match.group().lower() for match in _AVOIDED.finditer(plain)]
    return words, found


def folders(part: str) -> list[Path]:
    """The folders of a part, so that no folder hides behind another."""
    return sorted({path.parent for path in (ROOT / part).rglob("*.py") if "migrations" not in path.parts})


@pytest.mark.parametrize("part", PARTS)
def test_code_is_written_in_plain_english(part: str) -> None:
    paths = [path for path in (ROOT / part).rglob("*.py") if path.name != "test_language.py"]
    words, found = measured(text for path in sorted(paths) for text in prose_of_code(path.read_text("utf-8")))
    assert words
    assert len(found) * 1000 <= words, sorted(found)


@in_one_test
@pytest.mark.parametrize("page", PAGES)
def test_documentation_is_written_in_plain_english(page: str) -> None:
    words, found = measured(prose_of_page(ROOT / page))
    # A page of two hundred words may have one.
    assert len(found) <= max(words / 1000, 0 if words < 200 else 1), found


def test_decisions_are_written_in_plain_english() -> None:
    words, found = measured(
        text for path in sorted((ROOT / "docs" / "decisions").glob("*.md")) for text in prose_of_page(path)
    )
    assert len(found) * 1000 <= words, sorted(found)


def test_avoided_words_are_counted() -> None:
    assert measured(iter(["Whoever is told `so many` times.", 'It goes\non, "at once".'])) == (
        7,
        ["whoever", "told", "goes\non"],
    )


def test_docstrings_are_those_of_python() -> None:
    for path in (Path(__file__), ROOT / "tests" / "forks.py", ROOT / "phone_verify" / "model.py"):
        source = path.read_text("utf-8")
        nodes = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        wanted = [text for node in nodes if (text := ast.get_docstring(node, clean=False))]
        found = [text for text in prose_of_code(source) if not text.startswith("#")]
        assert sorted(found) == sorted(wanted), path
