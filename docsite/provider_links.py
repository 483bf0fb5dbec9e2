"""Names of drivers that link to their pages."""

from __future__ import annotations

import re

from phone_verify.drivers.dsn import schemes

#: The pages whose names of drivers become links.
PAGES = frozenset({"docs/choosing_a_provider.md"})
#: Fenced code, which is kept, or a code span that is not the text of a link.
_FENCE_OR_NAME = re.compile(r"(^```.*?^```)|(?<!\[)`([a-z][a-z0-9-]*)`", re.DOTALL | re.MULTILINE)


def with_provider_links(text: str) -> str:
    """Return a page of `docs/` with every name of a driver as a link to its page."""
    known = {*schemes(), "sandbox"}

    def linked(found: re.Match[str]) -> str:
        return f"[`{found[2]}`](providers/{found[2]}.md)" if found[2] in known else found[0]

    return _FENCE_OR_NAME.sub(linked, text)
