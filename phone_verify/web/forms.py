"""Which posted forms the pages read, decided by the headers before the body is parsed."""

from __future__ import annotations

from dataclasses import replace

from ..http.call import ApiRequest
from .pages import Page

#: Size limit of a form in bytes. Ours have a few hundred; a site's own fields need room too.
FORM_LIMIT = 64 * 1024


def refused_form(call: ApiRequest, *, too_long: bool, takes_files: bool = False) -> Page | None:
    """Return the page that rejects this form, or None.

    415 for `multipart/form-data`, whose files frameworks write to disk, unless the page
    `takes_files`; 413 for a form that is `too_long`.
    """
    page = Page(texts=call.texts)
    if not takes_files and call.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        return replace(page, error=page.text["form_has_files"], status=415)
    return replace(page, error=page.text["form_too_large"], status=413) if too_long else None
