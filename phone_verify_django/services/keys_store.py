"""Access keys in Django's database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import models
from django.db.models import Q

from phone_verify.keys.access_key import USE_NOTED_EVERY, AccessKey
from phone_verify.keys.rows import key_of, row_of
from phone_verify.keys.text import is_key_id
from phone_verify.stores.rows.values import micros

from .models import AccessKeyRow
from .steps import read, run


class OrmKeyStore:
    """A blocking `KeyStore` in the database with this alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def __repr__(self) -> str:
        return f"<OrmKeyStore on {self._using!r}>"

    async def add(self, key: AccessKey) -> bool:
        def step() -> bool:
            if self._rows.filter(id=key.id).exists():
                return False
            self._rows.create(**row_of(key))
            return True

        return run(self._using, step)

    async def find(self, id: str) -> AccessKey | None:
        if not is_key_id(id):
            return None
        found = read(self._using, lambda: self._rows.filter(id=id).values().first())
        return None if found is None else key_of(found)

    async def listed(self, service: str | None = None) -> Sequence[AccessKey]:
        rows = self._rows if service is None else self._rows.filter(service=service)
        return [key_of(row) for row in read(self._using, lambda: list(rows.order_by("-created_at", "id").values()))]

    async def revoke(self, id: str, now: datetime) -> bool:
        valid = self._rows.filter(id=id, revoked_at=None)
        return run(self._using, lambda: valid.update(revoked_at=micros(now))) > 0

    async def note_use(self, id: str, now: datetime) -> None:
        due = Q(last_used_at=None) | Q(last_used_at__lte=micros(now - USE_NOTED_EVERY))
        run(self._using, lambda: self._rows.filter(due, id=id).update(last_used_at=micros(now)))

    async def erase(self, service: str) -> int:
        return run(self._using, lambda: self._rows.filter(service=service).delete()[0])

    @property
    def _rows(self) -> models.QuerySet[AccessKeyRow]:
        return AccessKeyRow.objects.using(self._using)
