"""Shows classes made by `value_class` with their constructor in the API reference, like other dataclasses."""

from __future__ import annotations

from typing import Any

import griffe


class ValueClasses(griffe.Extension):
    """An extension of griffe, which recognizes dataclasses by the name of their decorator."""

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        """Replace the decorator before griffe looks for dataclasses."""
        for decorator in cls.decorators:
            if str(decorator.value) == "value_class":
                decorator.value = griffe.ExprName("dataclasses.dataclass")
