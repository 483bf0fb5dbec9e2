"""`phone-verify keys`."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import click

from ...keys.access_key import AccessKey
from ...keys.base import KeyStore
from ...keys.orders import KeyOrderError, make_key, read_order
from ...services.listing import has_service
from ...sync import run
from .. import service_list
from ..output import Mark, console, examples, say, table
from ..site_loader import SiteTarget, of_a_site, reported, with_keys

T = TypeVar("T")

#: The option of a field of an order.
_OPTIONS = {"networks": "--from", "channels": "--channels", "expires": "--expires", "service": "--service"}


@click.group(
    short_help="Create, list and revoke access keys of other programs.",
    epilog=examples("phone-verify keys create 'Shop backend' --from 203.0.113.0/24", "phone-verify keys list"),
)
def keys() -> None:
    """Create, list and revoke the access keys with which other programs call the JSON API."""


@keys.command(epilog=examples("phone-verify keys create 'Shop backend' --channels sms,voice --expires 90d"))
@click.argument("name")
@of_a_site
@click.option("--service", default="default", help="The service that it is of.", show_default=True)
@click.option("--from", "networks", default="", metavar="RANGES", help="Addresses or ranges that may use it.")
@click.option("--channels", default="", help="Channels that it may use, like sms,voice. Default: all.")
@click.option("--expires", default="", metavar="90d|DATE", help="Days, or the last day in UTC. Default: never.")
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def create(
    site: SiteTarget, name: str, service: str, networks: str, channels: str, expires: str, as_json: bool
) -> None:
    """Create an access key called NAME and print it. It is not stored and cannot be shown again."""
    store, now = _store(site), datetime.now(UTC)
    try:
        with reported():
            services = service_list.services_of(with_keys(site.config()))
            order = read_order(
                name=name,
                service=service,
                networks=networks,
                channels=channels,
                expires=expires,
                created_by="phone-verify keys",
                now=now,
                has_service=partial(has_service, services),
            )
    except KeyOrderError as refusal:
        field, why = next(iter(refusal.errors.items()))
        raise click.BadParameter(why, param_hint=_OPTIONS.get(field, "NAME")) from None
    new = make_key(order, os.urandom, now)
    with reported():
        added = run(store.add(new.key))
    if not added:
        raise click.ClickException("The random id of this key is taken. Try again.")
    if as_json:
        click.echo(json.dumps({**_document(new.key, now), "key": str(new.text)}, indent=2, ensure_ascii=False))
        return
    say(f"Access key {order.name!r} of the service {order.service}. It is shown only now:", Mark.OK, stderr=True)
    click.echo(str(new.text))


@keys.command("list", epilog=examples("phone-verify keys list --service shop --json"))
@of_a_site
@click.option("--service", help="Only keys of this service.")
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def list_(site: SiteTarget, service: str | None, as_json: bool) -> None:
    """List the access keys, newest first. Their secrets are not stored."""
    store, now = _store(site), datetime.now(UTC)
    with reported():
        found = run(store.listed(service))
    if as_json:
        click.echo(json.dumps([_document(key, now) for key in found], indent=2, ensure_ascii=False))
        return
    if not found:
        say("There are no access keys.")
        return
    listed = table("id", "name", "service", "state", "channels", "from", "last used", whole=["id"])
    for key in found:
        listed.add_row(
            key.id,
            key.name,
            key.service,
            _state(key, now),
            ", ".join(key.channels) or "all",
            ", ".join(map(str, key.networks)) or "everywhere",
            _day(key.last_used_at),
        )
    console().print(listed)


@keys.command(short_help="Revoke an access key.", epilog=examples("phone-verify keys revoke 3kTMd9aQz0Lw"))
@click.argument("id")
@of_a_site
def revoke(site: SiteTarget, id: str) -> None:
    """Revoke the access key with this ID immediately, for all processes of the site."""
    store = _store(site)
    with reported():
        revoked = run(store.revoke(id, datetime.now(UTC)))
    if not revoked:
        raise click.ClickException("There is no valid access key with this id. See `phone-verify keys list`.")
    say(f"Revoked {id}.", Mark.OK)


def _store(site: SiteTarget) -> KeyStore:
    with reported():
        return site.config().key_store()


def _document(key: AccessKey, now: datetime) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "service": key.service,
        "state": _state(key, now),
        "channels": [channel.value for channel in key.channels],
        "from": [str(network) for network in key.networks],
        "created_at": key.created_at.isoformat(),
        "created_by": key.created_by,
        "expires_at": _text(key.expires_at),
        "revoked_at": _text(key.revoked_at),
        "last_used_at": _text(key.last_used_at),
    }


def _state(key: AccessKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.is_usable(now) else "expired"


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _day(at: datetime | None) -> str:
    return "never" if at is None else at.date().isoformat()
