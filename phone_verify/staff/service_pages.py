"""Services as rows: listed, created, changed and deleted, with errors at their fields."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..http.site import Site
from ..purposes import DEFAULT_SERVICE
from ..services.catalog import Services
from ..services.listing import Entry, entries, find_stored
from ..services.service import Combine, InvalidServiceError
from ..sync import run
from ..webhooks_out.endpoints import DEFAULT_NAME
from .call import Page, Redirect, RefusedError, Right, StaffCall, above_service, require

_YES_OR_NO = ("", "true", "false")
#: A secret of an endpoint as a form shows it: a digest, by which it is found again in the row.
_SHOWN_SECRET = "whsec_…{}"  # noqa: S105 - a pattern
_SHOWN = re.compile(r"whsec_…([0-9a-f]{12})")
#: A secret that stands elsewhere than among the secrets of an endpoint.
_STRAY_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the form: its kind of control, and its choices."""

    name: str
    kind: str = "text"
    choices: Sequence[str] = ()


#: The fields in groups, by the key of the group's heading.
GROUPS: Mapping[str, Sequence[Field]] = {
    "group_channels": (
        Field("title"),
        Field("public", "choice", _YES_OR_NO),
        Field("channels"),
        Field("drivers"),
        Field("combine", "choice", ("", *Combine)),
        Field("purposes"),
        Field("allowed_regions"),
    ),
    "group_codes": (
        Field("code_length", "number"),
        Field("ttl", "number"),
        Field("max_attempts", "number"),
        Field("resend_after", "number"),
        Field("assurance"),
        Field("caller_attestation", "choice", ("", "any", "B", "A")),
    ),
    "group_messages": (Field("languages"), Field("texts", "document")),
    "group_limits": (
        Field("sends_per_hour", "number"),
        Field("sends_per_hour_per_address", "number"),
        Field("sends_per_hour_per_prefix", "number"),
        Field("sends_per_hour_total", "number"),
        Field("caps", "document"),
        Field("terms", "document"),
    ),
    "group_webhooks": (Field("endpoints", "document"),),
}
FIELDS = tuple(each for group in GROUPS.values() for each in group)


@dataclass(frozen=True, slots=True)
class _Form:
    name: str = ""
    version: int = 0
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    errors: Mapping[str, str] = field(default_factory=dict)
    #: The key of the error of the whole form.
    error: str = ""


def show_list(site: Site, call: StaffCall) -> Page | Redirect:
    """Return the list of services; a site without services has only tests."""
    services = site.services
    if services is None:
        return Redirect("test/")
    require(call, Right.VIEW)
    can_add = services.rows is not None and call.may(Right.ADD)
    return Page("services.html", "services", "services", {"entries": entries(services), "can_add": can_add})


def add(site: Site, call: StaffCall) -> Page | Redirect:
    """Show the form of a new service, or create it; the first row of the site's own service changes that."""
    require(call, Right.ADD)
    services = _editable(site)
    if not call.is_post:
        return _page(call, _Form(), "add_service")
    name = call.form.get("name", "").strip()
    if name == DEFAULT_SERVICE:
        require(call, Right.CHANGE)  # it exists without a row
    return _saved(services, call, name, None, "add_service")


def change(site: Site, call: StaffCall, name: str) -> Page | Redirect:
    """Show the form of a service, or change it unless someone else did meanwhile."""
    require(call, Right.VIEW)
    services = site.services
    if services is None:
        raise RefusedError(404)
    entry = next((each for each in entries(services) if each.name == name), None)
    if entry is None:
        raise RefusedError(404)
    can_change = call.may(Right.CHANGE) and services.rows is not None and entry.origin != "settings"
    if not call.is_post:
        form = _Form(name, entry.version, _texts_of(entry.fields), entry.mistakes)
        return _page(call, form, "service", entry=entry, can_change=can_change)
    require(call, Right.CHANGE)
    return _saved(services, call, name, entry, "service")


def delete(site: Site, call: StaffCall, name: str) -> Page | Redirect:
    """Ask whether a service shall be deleted, or delete it unless someone changed it meanwhile."""
    require(call, _delete_right(name))
    entry = find_stored(services := _editable(site), name)
    if entry is None:
        raise RefusedError(404)
    if not call.is_post:
        return Page(
            "delete_service.html", "delete_service", "services", {"entry": entry}, about=name, above=above_service(name)
        )
    if not run(services.delete(name, _version(call))):
        return Redirect(f"services/{name}/", "changed_meanwhile", is_error=True)
    call.note("Deleted.", name)
    return Redirect("", "service_deleted")


def _delete_right(name: str) -> Right:
    """Return the right to delete a row. Without its row the site's own service stays, with other fields."""
    return Right.CHANGE if name == DEFAULT_SERVICE else Right.DELETE


def _editable(site: Site) -> Services:
    if site.services is None or site.services.rows is None:
        raise RefusedError(404)
    return site.services


def _saved(services: Services, call: StaffCall, name: str, entry: Entry | None, title: str) -> Page | Redirect:
    # A field that was not sent stays: the page may be older than the field, or the form cut off.
    shown = _texts_of(entry.fields) if entry is not None else {}
    sent = {each.name: call.form.get(each.name, shown.get(each.name, "")) for each in FIELDS}
    values = {name: text.replace("\r\n", "\n").strip() for name, text in sent.items()}
    version = _version(call) if entry is not None else 0
    errors: Mapping[str, str] = {}
    error = ""
    try:
        saved = run(services.save(name, _fields_of(values, entry), version))
        if saved is not None:
            call.note("Changed." if version else "Created.", name)
            return Redirect(f"services/{name}/", "service_saved")
        error = "changed_meanwhile" if entry is not None else "service_exists"
    except InvalidServiceError as refusal:
        errors, error = refusal.fields, "form_has_errors"
    return _page(call, _Form(name, version, values, errors, error), title, entry=entry, can_change=True, status=422)


def _page(
    call: StaffCall,
    form: _Form,
    title: str,
    *,
    entry: Entry | None = None,
    can_change: bool = True,
    status: int = 200,
) -> Page:
    shown = {"name", *(each.name for each in FIELDS)}
    others = {name: problem for name, problem in form.errors.items() if name not in shown}
    values = {
        "form": form,
        "groups": GROUPS,
        "entry": entry,
        "can_change": can_change,
        "can_delete": entry is not None and entry.origin == "database" and call.may(_delete_right(entry.name)),
        "others": others,
    }
    return Page("service.html", title, "services", values, status, form.name if entry is not None else "")


def _version(call: StaffCall) -> int:
    text = call.form.get("version", "")
    return int(text) if len(text) < 19 and text.isascii() and text.isdecimal() else 0


def _texts_of(fields: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the fields as a form shows them; secrets of endpoints as a digest, and none at any other place."""
    return {name: _STRAY_SECRET.sub("whsec_…", _text_of(name, value)) for name, value in fields.items()}


def _text_of(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if name == "endpoints":
        return _document(_each_secret(value, lambda _, secret: _SHOWN_SECRET.format(_digest(secret))))
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return str(value) if isinstance(value, str | int) else _document(value)


def _fields_of(values: Mapping[str, str], entry: Entry | None) -> Mapping[str, Any]:
    """Return the fields of the form that are not empty, with what it showed in place of a secret.

    A field that is as it was shown stays as it is. A digest stands for a secret only among the secrets of the
    endpoint that has it: elsewhere, like in the URL, the form would show the secret.
    """
    kept = dict(entry.fields) if entry is not None else {}
    as_shown = {name: text.strip() for name, text in _texts_of(kept).items() if name != "endpoints"}
    fields: dict[str, Any] = {
        name: kept[name] if as_shown.get(name) == value else value for name, value in values.items() if value
    }
    text = fields.get("endpoints", "")
    if entry is None or not text or len(text) > _LONGEST:
        return fields
    known: dict[tuple[str, str], str] = {}
    _each_secret(entry.fields.get("endpoints"), lambda name, secret: known.setdefault((name, _digest(secret)), secret))

    def found(name: str, shown: str) -> str:
        match = _SHOWN.fullmatch(shown)
        return known.get((name, match[1]), shown) if match else shown

    with suppress(ValueError, RecursionError):  # the reader of the field says what is wrong
        fields["endpoints"] = json.dumps(_each_secret(json.loads(text), found), ensure_ascii=False)
    return fields


def _each_secret(endpoints: Any, make: Callable[[str, str], str]) -> Any:
    """Return the endpoints with what `make` returns for the name of each one and each of its secrets."""
    if not isinstance(endpoints, list | tuple):
        return endpoints
    return [
        {**each, "secrets": [make(str(each.get("name", DEFAULT_NAME)), str(secret)) for secret in each["secrets"]]}
        if isinstance(each, Mapping) and isinstance(each.get("secrets"), list | tuple)
        else each
        for each in endpoints
    ]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def _document(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
