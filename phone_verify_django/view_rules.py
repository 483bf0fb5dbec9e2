"""The rule of views that redeem proofs: no transaction of the request around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connections, transaction

ViewFunction = TypeVar("ViewFunction", bound=Callable[..., Any])


def outside_transactions(view: ViewFunction) -> ViewFunction:
    """Exempt the view from ATOMIC_REQUESTS, so that an error cannot roll back an attempt or a redemption."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view
