"""Access keys: created and shown once, listed without their secrets, and revoked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from ..http.site import Site
from ..keys.access_key import AccessKey
from ..keys.base import KeyStore
from ..keys.orders import KeyOrderError, make_key, read_order
from ..keys.text import is_key_id, new_id
from ..model import Channel
from ..services.listing import has_service
from ..sync import run
from .call import Page, Redirect, RefusedError, Right, StaffCall, require, text_of

_FIELDS = ("name", "service", "networks", "expires")


def show_list(site: Site, call: StaffCall) -> Page | Redirect:
    """Return the list of keys, or revoke one."""
    require(call, Right.KEYS)
    store = _store(site)
    if call.is_post:
        id = text_of(call.form, "id")
        revoked = is_key_id(id) and run(store.revoke(id, call.now))
        if not revoked:
            return Redirect("keys/", "key_not_found", is_error=True)
        call.note("Revoked.", id)
        return Redirect("keys/", "key_revoked")
    service = text_of(call.query, "service", 32)
    listed = [(key, _state(key, call)) for key in run(store.listed(service or None))]
    return Page("keys.html", "keys", "keys", {"keys": listed, "service": service})


def add(site: Site, call: StaffCall) -> Page:
    """Show the form of a new key, or create the key and show its text: only in this response."""
    require(call, Right.KEYS)
    store = _store(site)
    values = {"id": new_id(os.urandom), "service": text_of(call.query, "service", 32) or "default"}
    if not call.is_post:
        return _form(values, {})
    values = {name: text_of(call.form, name, 1000) for name in ("id", *_FIELDS)}
    channels = [channel.value for channel in Channel if call.form.get(f"channel_{channel}")]
    errors: Mapping[str, str] = {}
    if not is_key_id(values["id"]):
        values["id"] = new_id(os.urandom)
    try:
        order = read_order(
            name=values["name"],
            service=values["service"],
            networks=values["networks"],
            channels=" ".join(channels),
            expires=values["expires"],
            created_by=call.author,
            now=call.now,
            has_service=partial(has_service, site.services),
        )
    except KeyOrderError as refusal:
        errors = refusal.errors
        return _form(values, errors, channels)
    new = make_key(order, os.urandom, call.now, id=values["id"])
    if not run(store.add(new.key)):
        # The form was sent twice: its key exists, and its text was shown.
        return _form({**values, "id": new_id(os.urandom)}, {}, channels, error="key_exists")
    call.note("Created.", new.key.id)
    return Page("new_key.html", "new_key", "keys", {"text": str(new.text), "key": new.key})


def _form(
    values: Mapping[str, str], errors: Mapping[str, str], channels: list[str] | None = None, error: str = ""
) -> Page:
    shown = {
        "values": values,
        "errors": errors,
        "error": error,
        "all_channels": tuple(Channel),
        "chosen": channels or [],
    }
    return Page("add_key.html", "add_key", "keys", shown, 422 if errors or error else 200)


def _store(site: Site) -> KeyStore:
    keys = site.verifier.flows.keys
    if keys is None:
        raise RefusedError(404)
    return keys.store


def _state(key: AccessKey, call: StaffCall) -> str:
    if key.revoked_at is not None:
        return "key_is_revoked"
    return "key_is_valid" if key.is_usable(call.now) else "key_is_expired"
