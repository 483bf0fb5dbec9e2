"""Which database decisions read: the one that is written, which a replica may lag behind.

A router's `db_for_read` can name a replica. Who owns a number, who is signed in, who is active or
staff, and which factors a user has would then be decided by old data. So our tables are read through
`PrimaryManager`, and what other code reads for a decision (sessions, users, a site's `Accounts`, the
models of django-otp and django-allauth) is read within `reads`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ObjectDoesNotExist
from django.db import models, router

M = TypeVar("M", bound=models.Model)
ViewFunction = TypeVar("ViewFunction", bound=Callable[..., Any])

_reads: ContextVar[bool] = ContextVar("phone_verify_django.primary.reads", default=False)


def alias_of(model: type[models.Model]) -> str:
    """Return the alias of the database in which this model's rows are written."""
    return router.db_for_write(model)


class PrimaryManager(models.Manager[M]):
    """A manager whose queries read the database in which the rows are written, unless one is named."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Return the rows."""
        return super().get_queryset().using(self._db or alias_of(self.model))


class _PrimaryRouter:
    """Sends reads to the database that is written, within `reads`; otherwise it has no opinion.

    Nor has it one about models that the site only reads, like those of a legacy database: the
    routers name no database that is written for them, and Django's default has no table of theirs.
    """

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        if not _reads.get():
            return None
        try:
            named = _named_for_write(model, hints)
        except Exception:  # noqa: BLE001 - some routers refuse writes of such models by an error of their own
            return None
        if named is not None:
            return named
        alias = router.db_for_write(model, **hints)
        return alias if model._meta.managed and router.allow_migrate_model(alias, model) else None


def _named_for_write(model: type[models.Model], hints: Mapping[str, Any]) -> str | None:
    """Return the database that the site's routers name for writes of this model; None if none does."""
    for each in router.routers:
        method = getattr(each, "db_for_write", None)
        if method is not None and (named := method(model, **hints)):
            return str(named)
    return None


@contextmanager
def reads() -> Iterator[None]:
    """Within the block every model is read from the database in which it is written.

    Also usable as a decorator of blocking functions.
    """
    token = _begin()
    try:
        yield
    finally:
        _reads.reset(token)


def _begin() -> Token[bool]:
    # At each use, since a test may have replaced the list. It is empty without DATABASE_ROUTERS.
    routers = router.routers
    if routers and not isinstance(routers[0], _PrimaryRouter):
        routers.insert(0, _PrimaryRouter())
    return _reads.set(True)


def reading(view: ViewFunction) -> ViewFunction:
    """Return the view function, run within `reads`."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with reads():
                return await view(*args, **kwargs)

        return cast("ViewFunction", run_async)

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> Any:
        token = _begin()  # as in `reads`, which takes longer than many a view function
        try:
            return view(*args, **kwargs)
        finally:
            _reads.reset(token)

    return cast("ViewFunction", run)


def refresh(user: Any) -> bool:
    """Read a user again who was read from a replica. Return False if the user does not exist any more."""
    state = getattr(user, "_state", None)
    # A user without `db` has not been saved; other objects than models have no state.
    if state is None or state.db is None or state.db == (alias := alias_of(user._meta.concrete_model)):
        return True
    try:
        user.refresh_from_db(using=alias)
    except ObjectDoesNotExist:
        return False
    return True
