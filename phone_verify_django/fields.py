"""Field types of the tables."""

from __future__ import annotations

from typing import Any

from django.db import models


class ExactCharField(models.CharField):  # type: ignore[type-arg]
    """Text that is compared by bytes everywhere: the usual collations of MySQL take `a` and `A` for the same."""

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = dict(super().db_parameters(connection))
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters
