"""What the pages read from posted forms: whether to read one at all, and the code in a pasted message."""

from __future__ import annotations

import re

from ..http.call import ApiRequest
from ..phone import DIGITS, FILLERS
from .pages import Page

#: Size limit of a form in bytes. Ours have a few hundred; a site's own fields need room too.
FORM_LIMIT = 64 * 1024
_DIGIT_RUNS = re.compile(r"[0-9]+", re.ASCII)


def refused_form(call: ApiRequest, *, too_long: bool, takes_files: bool = False) -> Page | None:
    """Return the page that rejects this form, or None.

    415 for `multipart/form-data`, whose files frameworks write to disk, unless the page
    `takes_files`; 413 for a form that is `too_long`.
    """
    if not takes_files and call.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        return _refusal(call, 415, "form_has_files")
    return form_too_large(call) if too_long else None


def form_too_large(call: ApiRequest) -> Page:
    """Return the page that rejects a form that is too large."""
    return _refusal(call, 413, "form_too_large")


def incomplete_form(call: ApiRequest) -> Page:
    """Return the page that rejects a form that cannot be read to its end."""
    return _refusal(call, 400, "form_incomplete")


def wrong_method(call: ApiRequest) -> Page:
    """Return the page of a method that a page does not have."""
    return _refusal(call, 405, "wrong_method")


def not_found(call: ApiRequest) -> Page:
    """Return the page of an address without a page."""
    return _refusal(call, 404, "not_found")


def _refusal(call: ApiRequest, status: int, error: str) -> Page:
    return Page(texts=call.texts, error=call.texts.page[error], status=status)


def code_in(typed: str, length: int | None) -> str:
    """Return the code in a pasted message: its only run of exactly `length` digits.

    A message may repeat the code, as the last line of our SMS does. Digits with separators alone, a
    text without such a run or with several different ones, and every text if the `length` is
    unknown, are returned unchanged: the core decides, and a malformed code costs no attempt.
    """
    digits = typed.translate(DIGITS)
    if length is None or digits.translate(FILLERS).isdecimal():
        return typed
    runs = {run for run in _DIGIT_RUNS.findall(digits) if len(run) == length}
    return runs.pop() if len(runs) == 1 else typed
