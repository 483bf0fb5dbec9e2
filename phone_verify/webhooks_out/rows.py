"""Rows of the outbox's table, for every implementation. Times are microseconds since 1970 in UTC."""

# ruff: noqa: S608 - only the name of our own table is formatted into the text; values are always bound

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from ..stores.rows.values import micros, time_of
from .base import Delivery, DeliveryStatus, Taken
from .endpoints import Endpoint
from .messages import Change

#: The columns of a taken message, and of a delivery.
TAKEN = ("position", "id", "endpoint", "service", "event", "attempts", "earlier", "body")
DELIVERY = tuple(field.name for field in fields(Delivery))
_TIMES = ("created_at", "attempted_at", "next_at", "delivered_at")


def positions_in_turn(table: str, now: str, limit: str) -> str:
    """Return a query for the positions of due messages in this table, with these placeholders.

    Services come in turn, of each its endpoints in turn, and of each endpoint the message that is due longest first.
    It locks nothing: no row that a window function has read can be locked.
    """
    of_endpoint = "ROW_NUMBER() OVER (PARTITION BY service, endpoint ORDER BY next_at, position) AS turn"
    of_service = "ROW_NUMBER() OVER (PARTITION BY service ORDER BY turn, next_at, position) AS place"
    due = f"SELECT position, service, next_at, {of_endpoint} FROM {table} WHERE next_at <= {now}"
    placed = f"SELECT position, next_at, {of_service} FROM ({due}) AS due"
    return f"SELECT position FROM ({placed}) AS placed ORDER BY place, next_at, position LIMIT {limit}"


def new_rows(endpoints: Iterable[Endpoint], change: Change, now: datetime) -> list[dict[str, Any]]:
    """Return the rows of the messages about a change, for those endpoints that receive its event."""
    row = {
        "id": change.id,
        "service": change.service,
        "event": change.event.value,
        "verification": change.verification,
        "body": change.body,
        "status": DeliveryStatus.PENDING.value,
        "attempts": 0,
        "earlier": 0,
        "problem": "",
        "created_at": micros(now),
        "next_at": micros(now),
    }
    return [{**row, "endpoint": endpoint.name} for endpoint in endpoints if change.event in endpoint.events]


def taken_of(row: Mapping[str, Any]) -> Taken:
    """Return the message of a row that was read before its attempt was counted."""
    attempts = row["attempts"] + 1
    names = ("id", "endpoint", "service", "event", "body")
    return Taken(attempts=attempts, tries=attempts - row["earlier"], **{name: row[name] for name in names})


def delivery_of(row: Mapping[str, Any]) -> Delivery:
    """Return the delivery of a row."""
    values = {name: row[name] for name in DELIVERY}
    values |= {name: None if row[name] is None else time_of(row[name]) for name in _TIMES}
    return Delivery(**{**values, "status": DeliveryStatus(row["status"])})
