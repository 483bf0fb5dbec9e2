"""Parses JSON bodies: an object of strings, and `extra` where the site accepts it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from ..http.call import ApiRequest, ApiResponse
from ..http.client_facts import LONGEST_EXTRA, MOST_EXTRA, is_extra
from ..http.problems import invalid, problem

_JSON = re.compile(r"application/json\s*(;.*)?\Z", re.IGNORECASE | re.DOTALL)


class _RepeatedError(ValueError):
    pass


def parse_body(
    call: ApiRequest, required: Collection[str], optional: Collection[str] = (), *, may_be_empty: bool = False
) -> dict[str, str] | ApiResponse:
    """Return the fields of the body, each value a string; or the problem response, as `parse_order`."""
    found = parse_order(call, required, optional, may_be_empty=may_be_empty, takes_extra=False)
    return found if isinstance(found, ApiResponse) else found[0]


def parse_order(
    call: ApiRequest,
    required: Collection[str],
    optional: Collection[str] = (),
    *,
    takes_extra: bool,
    may_be_empty: bool = False,
) -> tuple[dict[str, str], dict[str, str]] | ApiResponse:
    """Return the fields of the body, each value a string, and those of `extra`; or the problem response.

    Refused, in this order: another media type (415), too long (413), no JSON object, unknown or
    repeated fields, missing ones, values that are not strings (400, with the fields named).
    """
    empty = call.body is not None and not call.body.strip()
    if not (empty and may_be_empty) and not _JSON.match(call.headers.get("content-type", "")):
        return problem(415, "unsupported_media_type", "Send the body as application/json.")
    if call.body is None:
        return problem(413, "too_large", "Request body too large.")
    if empty and may_be_empty:
        return {}, {}
    if takes_extra:
        optional = [*optional, "extra"]
    try:
        document = _DECODER.decode(call.body.decode("utf-8"))
    except _RepeatedError as error:
        return invalid("Duplicate field.", str(error))
    except (ValueError, RecursionError):
        return invalid("The body is not valid JSON in UTF-8.")
    if not isinstance(document, dict):
        return invalid("The body must be a JSON object.")
    if unknown := [name for name in document if name not in required and name not in optional]:
        names = [_named(name) for name in unknown]
        allowed = ", ".join([*required, *optional])
        return invalid(f"Unknown {'fields' if names[1:] else 'field'}: {', '.join(names)}. Allowed: {allowed}.", *names)
    if missing := [name for name in required if name not in document]:
        return invalid("Required fields are missing.", *missing)
    extra = document.pop("extra", {}) if takes_extra else {}
    if wrong := [name for name, value in document.items() if not isinstance(value, str)]:
        return invalid("These fields must be strings.", *wrong)
    if not is_extra(extra):
        most, longest = MOST_EXTRA, LONGEST_EXTRA
        return invalid(f"extra must be an object of at most {most} strings of up to {longest} characters.", "extra")
    return document, extra


def _unique(items: list[tuple[str, object]]) -> dict[str, object]:
    document: dict[str, object] = {}
    for name, value in items:
        if name in document:
            raise _RepeatedError(_named(name))
        document[name] = value
    return document


def _reject_constant(constant: str) -> object:
    raise ValueError(f"{constant} is not valid JSON")


#: Kept, since `json.loads` makes one for each call with options.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_reject_constant)


def _named(name: str) -> str:
    # Unknown names are echoed to the sender, truncated and in characters that any encoding
    # supports.
    return name[:64].encode("ascii", "backslashreplace").decode()
