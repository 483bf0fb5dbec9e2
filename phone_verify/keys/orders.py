"""Orders of new access keys: their fields as people write them, refused field by field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from ipaddress import IPv6Network, ip_network
from typing import TypeVar

from ..codes import RandomBytes
from ..errors import FieldFault, fault_of
from ..model import Channel
from .access_key import AccessKey, Network
from .text import KeyText, new_text

T = TypeVar("T")

LONGEST_NAME = 64
LONGEST_CREATOR = 150
MOST_NETWORKS = 20
_SERVICE = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_DAYS = re.compile(r"([1-9][0-9]{0,3})d", re.ASCII)
#: IPv4 addresses as part of IPv6: mapped ones, and those behind a translator (RFC 6052, section 2.1).
_OF_IPV4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_IPV4_FROM = 96


class KeyOrderError(ValueError):
    """Fields that no key can have: `errors` holds the reason for each, by the field's name."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in errors.items()))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """What a new key may do."""

    service: str
    name: str
    networks: Sequence[Network] = ()
    channels: Sequence[Channel] = ()
    expires_at: datetime | None = None
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key and its text, which can be shown once: it is not kept."""

    key: AccessKey
    text: KeyText = field(repr=False)


def make_key(order: KeyOrder, random_bytes: RandomBytes, now: datetime, *, id: str = "") -> NewKey:
    """Return a new key with a random secret, to be added to a `KeyStore`; its id is random too unless it is given."""
    text = new_text(random_bytes, id)
    key = AccessKey(
        id=text.id,
        digest=text.digest,
        service=order.service,
        name=order.name,
        created_at=now,
        created_by=order.created_by,
        networks=order.networks,
        channels=order.channels,
        expires_at=order.expires_at,
    )
    return NewKey(key, text)


def read_order(
    *,
    name: str,
    service: str = "default",
    networks: str = "",
    channels: str = "",
    expires: str = "",
    created_by: str = "",
    now: datetime,
    has_service: Callable[[str], bool] = lambda _: True,
) -> KeyOrder:
    """Return the order of a key. Raises `KeyOrderError` with every field that cannot work.

    `has_service` returns whether a service has this name: a key for a name that is free would be valid for
    the service that is created with it later.

    `networks` are addresses or ranges, `channels` names of channels, each separated by spaces or
    commas; empty for all. `expires` is a number of days like `90d`, or the last day like
    `2027-01-31` in UTC; empty for never.
    """
    errors: dict[str, str] = {}

    def parsed(named: str, read: Callable[[str], T], text: str, empty: T) -> T:
        try:
            return read(text)
        except ValueError as error:
            errors[named] = fault_of(error)
            return empty

    order = KeyOrder(
        service=parsed("service", lambda text: _service(text, has_service), service, ""),
        name=parsed("name", _name, name, ""),
        networks=parsed("networks", read_networks, networks, ()),
        channels=parsed("channels", read_channels, channels, ()),
        expires_at=parsed("expires", lambda text: _end(text, now), expires, None),
        created_by=created_by[:LONGEST_CREATOR],
    )
    if errors:
        raise KeyOrderError(errors)
    return order


def read_networks(text: str) -> Sequence[Network]:
    """Return the address ranges in this text. Raises `ValueError`.

    Ranges of IPv4 addresses that are written as IPv6 ones become IPv4 ranges, as addresses of
    clients do.
    """
    found = list(dict.fromkeys(map(_network, _words(text))))
    if len(found) > MOST_NETWORKS:
        raise ValueError(FieldFault("use {most} ranges or fewer", most=MOST_NETWORKS))
    return tuple(found)


def read_channels(text: str) -> Sequence[Channel]:
    """Return the channels in this text. Raises `ValueError`."""
    words = _words(text)
    if any(word not in {channel.value for channel in Channel} for word in words):
        raise ValueError(FieldFault("use channels of {words}", words=", ".join(Channel)))
    return tuple(channel for channel in Channel if channel.value in words)


def _network(word: str) -> Network:
    try:
        network = ip_network(word)
    except ValueError:
        raise ValueError(
            FieldFault("use addresses or ranges like 203.0.113.7, 198.51.100.0/24 or 2001:db8::/32")
        ) from None
    if isinstance(network, IPv6Network) and any(network.subnet_of(whole) for whole in _OF_IPV4):
        within = int(network.network_address) & 0xFFFFFFFF
        return ip_network((within, network.prefixlen - _IPV4_FROM))
    return network


def _service(text: str, has_service: Callable[[str], bool]) -> str:
    if not _SERVICE.fullmatch(text):
        raise ValueError(FieldFault("use the name of a service: lower-case letters, digits and underscores"))
    if not has_service(text):
        raise ValueError(FieldFault("no service is named {name}", name=text))
    return text


def _name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(
            FieldFault("use 1 to {most} printable characters, like the name of the program", most=LONGEST_NAME)
        )
    return name


def _end(text: str, now: datetime) -> datetime | None:
    text = text.strip()
    if not text:
        return None
    if days := _DAYS.fullmatch(text):
        return now + timedelta(days=int(days[1]))
    try:
        end = datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), UTC)
    except (ValueError, OverflowError):
        raise ValueError(FieldFault("use a number of days like 90d, or the last day like 2027-01-31")) from None
    if end <= now:
        raise ValueError(FieldFault("this day has passed"))
    return end


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
