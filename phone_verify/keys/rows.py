"""An access key as a row of a table: the same columns on every database."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..model import Channel
from ..stores.rows.values import micros, time_of
from .access_key import AccessKey, Network
from .orders import read_channels, read_networks

log = logging.getLogger("phone_verify")


def row_of(key: AccessKey) -> dict[str, Any]:
    """Return the values of a key's columns. Times are whole microseconds since 1970."""
    return {
        "id": key.id,
        "digest": key.digest,
        "service": key.service,
        "name": key.name,
        "networks": " ".join(map(str, key.networks)),
        "channels": " ".join(key.channels),
        "created_at": micros(key.created_at),
        "created_by": key.created_by,
        "expires_at": _optional(key.expires_at),
        "revoked_at": _optional(key.revoked_at),
        "last_used_at": _optional(key.last_used_at),
    }


def key_of(row: Mapping[Any, Any]) -> AccessKey:
    """Return the key in a row.

    One whose limits cannot be read, like a channel of a later version, counts as revoked: what it may do is
    unknown.
    """
    networks: Sequence[Network] = ()
    channels: Sequence[Channel] = ()
    revoked_at = row["revoked_at"]
    try:
        networks, channels = read_networks(row["networks"]), read_channels(row["channels"])
    except ValueError as error:
        log.error("the access key %s is refused, because its row has a mistake: %s", row["id"], error)
        revoked_at = revoked_at or row["created_at"]
    return AccessKey(
        id=row["id"],
        digest=bytes(row["digest"]),
        service=row["service"],
        name=row["name"],
        created_at=time_of(row["created_at"]),
        created_by=row["created_by"],
        networks=networks,
        channels=channels,
        expires_at=_optional_time(row["expires_at"]),
        revoked_at=_optional_time(revoked_at),
        last_used_at=_optional_time(row["last_used_at"]),
    )


def _optional(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def _optional_time(value: int | None) -> datetime | None:
    return None if value is None else time_of(value)
