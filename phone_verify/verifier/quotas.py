"""The quotas in which an order counts: of its phone, its client, its prefix, the service and the site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..codes import Keyring
from ..limits import Quota
from ..parts import Components
from ..phone import PhoneNumber
from ..policy import (
    REFUSED_PER_PHONE,
    REFUSED_PER_SITE_OF_ADDRESSES,
    REFUSED_TOTAL,
    RESERVED_SHARE,
    SITE_OF_ADDRESSES,
    Policy,
)
from ..purposes import SECOND_FACTOR
from .sources import Source

#: Sends for these purposes have separate quotas if the phone's owner starts them.
_BUDGETS_OF_THEIR_OWN = ("confirm", SECOND_FACTOR)


def notice_quotas(policy: Policy, keyring: Keyring, phone: PhoneNumber) -> Sequence[Quota]:
    """Return the quotas of a text without a code."""
    return [replace(quota, others=False) for quota in quotas_of_all(policy, keyring, phone, reserved=True)]


def phone_quotas(parts: Components, tag: str, purpose: str | None, source: Source, *, trusted: bool) -> Sequence[Quota]:
    """Return the quotas of sends to this phone: the client's own, then that of all clients."""
    apart = f"{purpose}:" if purpose in _BUDGETS_OF_THEIR_OWN else ""
    key = f"sends:{apart}known:{tag}" if trusted else f"sends:{apart}{tag}"
    own = source.bucket(parts.keyring, "own") or parts.keyring.bucket("own", "")
    wanted = [(key, parts.policy.sends_per_hour), (_of_service(parts, key), parts.quotas.per_phone)]
    return [
        quota
        for name, limit in wanted
        if limit
        for quota in (Quota(f"{name}:{own}", limit), Quota(name, limit, others=True))
    ]


def source_quotas(parts: Components, source: Source, *, trusted: bool, reserved: bool) -> Sequence[Quota]:
    """Return the quotas of the client's address, or of a program, with the gate of its wrong answers.

    An order of a client that sends again what a key started also counts for the key.
    """
    policy, bucket = parts.policy, parts.keyring.bucket
    limit_of_source, around = source.sends(policy), source.around
    counts_at_service = parts.quotas.per_address and not source.is_program
    of_service = source.bucket(parts.keyring, _of_service(parts, "address")) if counts_at_service else None
    wanted: list[tuple[str | None, int, bool]] = [
        (source.bucket(parts.keyring, "address"), limit_of_source, False),
        (of_service, parts.quotas.per_address, False),
        (bucket("site", around) if around else None, limit_of_source * SITE_OF_ADDRESSES, True),
    ]
    if source.starter:
        starter = Source(key=source.starter)
        wanted.append((starter.bucket(parts.keyring, "address"), starter.sends(policy), True))
    quotas = _with_reserve(wanted, reserved=reserved)
    wrong, most_wrong = source.bucket(parts.keyring, "wrong"), source.wrong_answers(policy)
    if wrong is not None and most_wrong and not trusted:
        quotas.append(Quota(wrong, most_wrong, gate=True))
    return quotas


def quotas_of_all(policy: Policy, keyring: Keyring, phone: PhoneNumber, *, reserved: bool) -> list[Quota]:
    """Return the quotas of the number's prefix and of the whole site."""
    prefix = keyring.bucket("prefix", phone.prefix)
    wanted = [(prefix, policy.sends_per_hour_per_prefix, True), ("total", policy.sends_per_hour_total, True)]
    return _with_reserve(wanted, reserved=reserved)


def quotas_of_service(parts: Components, phone: PhoneNumber, *, reserved: bool) -> list[Quota]:
    """Return the quotas of the number's prefix and of all numbers at this service."""
    prefix = parts.keyring.bucket(_of_service(parts, "prefix"), phone.prefix) if parts.quotas.per_prefix else None
    wanted = [(prefix, parts.quotas.per_prefix, True), (_of_service(parts, "total"), parts.quotas.total, True)]
    return _with_reserve(wanted, reserved=reserved)


def _of_service(parts: Components, key: str) -> str:
    return f"service:{parts.service}:{key}"


def _with_reserve(wanted: Sequence[tuple[str | None, int, bool]], *, reserved: bool) -> list[Quota]:
    """Return quotas of key, limit and `others`. One send in five is for trusted devices and server code: `reserved`."""
    return [
        Quota(key, limit if reserved else limit - limit // RESERVED_SHARE, others=others)
        for key, limit, others in wanted
        if key is not None and limit
    ]


def refusal_gates(parts: Components, tag: str, source: Source, *, trusted: bool, reserved: bool) -> Sequence[Quota]:
    """Return the gates of orders that every provider refused.

    The gates of other clients do not affect a trusted device. The gate of all clients does not apply to
    server code, but counts the orders of server code that were refused. All are of one service: a service
    whose drivers fail, or whose programs order to numbers that no provider accepts, must not close others.
    """
    keyring, refused = parts.keyring, _of_service(parts, "refused")
    of_source = source.bucket(keyring, refused)
    own = [Quota(of_source, source.refusals, gate=True)] if of_source is not None else []
    if around := source.around:
        key = keyring.bucket(_of_service(parts, "refused_site"), around)
        own.append(Quota(key, REFUSED_PER_SITE_OF_ADDRESSES, others=True, gate=True))
    if trusted:
        return [*own, Quota(f"{refused}:known:{tag}", REFUSED_PER_PHONE, gate=True)]
    phone = Quota(f"{refused}:{tag}", REFUSED_PER_PHONE, others=True, gate=True)
    total = Quota(refused, REFUSED_TOTAL, others=True, gate=True)
    return [*own, phone, *([] if reserved else [total])]
