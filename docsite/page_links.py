"""Links of a page, rewritten from the repository to the site.

Pages are written for GitHub, where a link is a path in the repository. On the site such a link leads to the same page,
and to GitHub where the site has no such page.
"""

from __future__ import annotations

import posixpath
import re

REPOSITORY = "https://github.com/phone-verify/phone-verify/blob/main/"

#: Files of the repository outside `docs/` that are pages of the site.
PROJECT_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code_of_conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
#: Sections of the README that are pages of the site, by their anchors on GitHub.
QUICK_STARTS = {
    "django-in-five-minutes": "quickstart_django.md",
    "flask-in-five-minutes": "quickstart_flask.md",
}
_OTHERS = {"README.md": "index.md", "phone_verify/api/openapi.yaml": "http_api.md"}

#: Code, which is kept, or a link: `](path)` in a sentence, `[name]: path` on a separate line.
_CODE_OR_LINK = re.compile(r"(^```.*?^```|`[^`\n]*`)|(\]\(|^\[[\w-]+\]: )([^)\s]+)", re.DOTALL | re.MULTILINE)


def on_site(text: str, page: str) -> str:
    """Return the text of this page of the repository with its links as the site has them. Code stays as it is."""

    def rewritten(found: re.Match[str]) -> str:
        return found[1] or found[2] + _link(found[3], page)

    return _CODE_OR_LINK.sub(rewritten, text)


def _link(link: str, page: str) -> str:
    path, hash, anchor = link.partition("#")
    if path.startswith(REPOSITORY):
        path = path.removeprefix(REPOSITORY)
    elif not path or ":" in path:
        return link
    else:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    if path == "README.md" and anchor in QUICK_STARTS:
        path, hash, anchor = f"docs/{QUICK_STARTS[anchor]}", "", ""
    place = _place(path)
    if place is None:
        return REPOSITORY + path + hash + anchor
    return posixpath.relpath(place, posixpath.dirname(_place(page) or "")) + hash + anchor


def _place(path: str) -> str | None:
    """Return where the site has this file of the repository; None where it has not."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return {**PROJECT_PAGES, **_OTHERS}.get(path)
