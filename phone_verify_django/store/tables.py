"""The tables of the models, as the statements of the store name them.

Django's ORM compiles each query again, which takes longer than the database needs to run it. These statements run
through Django's cursor, so a site's query log and wrappers still see them.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from phone_verify.errors import StoreError
from phone_verify.stores.rows.texts import KINDS, AsFunction, Tables

from ..models import ConversionRow, CounterRow, PhoneRow, ResponseRow, VerificationRow

#: For PostgreSQL: casts for JSON, which is passed as text, and for booleans, which are passed as 1 or 0.
_CASTS = {"JSONField": "::jsonb", "BooleanField": "::integer::boolean"}
#: The models of the store's tables, in the order of `Table`.
MODELS = (VerificationRow, PhoneRow, CounterRow, ResponseRow, ConversionRow)


def row_tables(connection: BaseDatabaseWrapper, as_function: AsFunction | None = None) -> Tables:
    """Return the tables in the database of a connection, with functions if it can have them.

    Raises `StoreError` if the database is not supported.
    """
    kind = connection.vendor
    if kind not in KINDS:
        raise StoreError(
            f"The store in Django's database supports SQLite, PostgreSQL, MariaDB and MySQL, not {kind}: "
            "set another store in PHONE_VERIFY['store']"
        )
    fields = [field for model in MODELS for field in model._meta.get_fields()] if kind == "postgresql" else []
    casts = {field.name: cast for field in fields if (cast := _CASTS.get(field.get_internal_type()))}
    return Tables(
        kind,
        *[connection.ops.quote_name(model._meta.db_table) for model in MODELS],
        placeholder="%s",
        numbered=False,
        tagged=True,
        skips_locked=connection.features.has_select_for_update_skip_locked,
        casts=casts,
        as_function=as_function if kind == "postgresql" else None,
    )
