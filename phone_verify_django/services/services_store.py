"""Services as rows of Django's database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from phone_verify.errors import StoreError
from phone_verify.services.base import RetiredNameError, ServiceRow, document_of

from . import models
from .steps import read, run

T = TypeVar("T")

_TOPIC = "services"


class OrmServiceRows:
    """Blocking `ServiceRows` in the database with this alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def __repr__(self) -> str:
        return f"<OrmServiceRows on {self._using!r}>"

    async def version(self) -> int:
        found = read(self._using, lambda: self._changes.values_list("version", flat=True).first())
        return found or 0

    async def versions(self) -> Mapping[str, int]:
        return read(
            self._using,
            lambda: dict(self._rows.filter(retired=False).order_by("name").values_list("name", "version")),
        )

    async def load(self, name: str) -> ServiceRow | None:
        row = read(self._using, lambda: self._rows.filter(name=name, retired=False).first())
        # MySQL ignores spaces at the end.
        return None if row is None or row.name != name else ServiceRow(name, row.version, document_of(row.document))

    async def save(self, name: str, document: Mapping[str, Any], expected: int) -> int | None:
        text = json.dumps(document, ensure_ascii=False)

        def step(version: int) -> int | None:
            found, retired = self._rows.filter(name=name).values_list("version", "retired").first() or (0, False)
            if retired and expected == 0:
                raise RetiredNameError
            if retired or found != expected:
                return None
            self._rows.update_or_create(name=name, defaults={"version": version, "document": text})
            return version

        return self._changed(step)

    async def delete(self, name: str, expected: int, *, retire: bool) -> bool:
        def step(version: int) -> bool:
            row = self._rows.filter(name=name, version=expected, retired=False)
            if retire:
                return row.update(version=version, document="{}", retired=True) > 0
            return row.delete()[0] > 0

        return self._changed(step)

    @property
    def _rows(self) -> QuerySet[models.ServiceRow]:
        return models.ServiceRow.objects.using(self._using)

    @property
    def _changes(self) -> QuerySet[models.ChangeRow]:
        return models.ChangeRow.objects.using(self._using).filter(topic=_TOPIC)

    def _changed(self, step: Callable[[int], T]) -> T:
        """Return the result of a step that changes services, which gets the version of the change."""

        def locked() -> tuple[T] | None:
            if not self._changes.update(version=F("version") + 1):
                return None
            return (step(self._changes.values_list("version", flat=True).get()),)

        done = run(self._using, locked)
        if done is None:
            # In a separate transaction: on MySQL, concurrent ones that continued would be a deadlock.
            run(self._using, self._make_first_change)
            done = run(self._using, locked)
        if done is None:
            raise StoreError("The version of the services is missing in the database of PHONE_VERIFY_LEDGER")
        return done[0]

    def _make_first_change(self) -> None:
        # Another process may make it meanwhile.
        with suppress(IntegrityError), transaction.atomic(using=self._using):
            models.ChangeRow.objects.using(self._using).create(topic=_TOPIC, version=0)
