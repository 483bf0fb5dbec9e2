"""Finds services by name: those of the settings, and those of rows, which change while the site runs."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import FieldFault, StoreError, UnusableServiceError
from ..purposes import DEFAULT_SERVICE
from ..stores.threaded import InThread
from ..sync import Waiting
from .base import RetiredNameError, ServiceRows, ThreadedServiceRows
from .service import InvalidServiceError, Service

if TYPE_CHECKING:
    from ..webhooks_out.endpoints import Endpoint

log = logging.getLogger("phone_verify")

#: How long a process uses what it has read, in seconds: a change takes effect within five.
FRESH = 4.0
#: How many services a process keeps ready; the one that was not used for the longest time is dropped.
MOST_KEPT = 256
#: How long a first request waits between two looks at what another one reads, in seconds.
_PAUSE = 0.01

_NO_ENDPOINTS: Sequence[Endpoint] = ()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Loaded:
    version: int
    #: None if the row has mistakes, and this process knows no earlier form.
    service: Service | None
    #: Those of the row, also if other fields have mistakes.
    endpoints: Sequence[Endpoint]


class Services:
    """The services of a site.

    `fixed` are those of the settings, which rows do not replace; `default` is the site's own, for
    which a row may set fields too. `read` makes a service of a row's document, and raises
    `InvalidServiceError`. One request every `FRESH` seconds asks the database for the version of the
    last change, and the services in use that have changed are read again; the others use what
    is known. If the database fails, the last valid form of each service stays in force. `revoke_keys`
    revokes the access keys of a service.
    """

    def __init__(
        self,
        default: Service,
        fixed: Mapping[str, Service],
        *,
        read: Callable[[str, Mapping[str, Any]], Service],
        ticks: Callable[[], float],
        rows: ServiceRows | None = None,
        in_thread: InThread | None = None,
        revoke_keys: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.default, self.fixed, self.read, self.rows = default, fixed, read, rows
        self._revoke_keys = revoke_keys
        self._threaded = ThreadedServiceRows(rows, in_thread) if rows is not None and in_thread is not None else rows
        self._ticks, self._checked_at = ticks, float("-inf")
        #: How often a look was asked for by `read_again`.
        self._demands = 0
        self._version = -1
        self._versions: Mapping[str, int] | None = None
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._reading, self._changing = threading.Lock(), threading.Lock()
        #: Whether the rows could not be read the last time.
        self.is_down = False

    async def find(self, name: str, waiting: Waiting, *, in_thread: bool = False) -> Service | None:
        """Return the service of this name, or None.

        `in_thread` reads the rows in a worker thread, for callers that must not block. Raises
        `StoreError` if the rows have never been read, and `UnusableServiceError` for one with mistakes.
        """
        rows = self._threaded if in_thread else self.rows
        if name in self.fixed or rows is None:
            return self._fixed(name)
        await self._refresh(rows, waiting)
        if self._versions is None:
            raise StoreError("The services could not be read")
        if name not in self._versions:
            return self._fixed(name)
        loaded = self._loaded.get(name) or await self._load(rows, name)
        if loaded is None:
            return self._fixed(name)
        if loaded.service is None:
            raise UnusableServiceError(f"The service {name} has mistakes")
        with self._changing:
            if name in self._loaded:
                self._loaded.move_to_end(name)
        return loaded.service

    def known(self, name: str) -> Service | None:
        """Return the service of this name as last read, without a look at the rows; None if it is not known."""
        if name in self.fixed or self.rows is None or (self._versions is not None and name not in self._versions):
            return self._fixed(name)
        loaded = self._loaded.get(name)
        return loaded.service if loaded is not None else None

    def endpoints(self, name: str) -> Sequence[Endpoint]:
        """Return the endpoints of a service as last read, also of one that has mistakes in other fields."""
        service, loaded = self.known(name), self._loaded.get(name)
        if service is not None:
            return service.endpoints
        return loaded.endpoints if loaded is not None else ()

    async def save(self, name: str, fields: Mapping[str, Any], expected: int) -> int | None:
        """Check these fields, write the row, and return its new version; None if another editor was faster.

        `expected` is the version that the editor has read, 0 for a new service. Every process uses the
        change within five seconds. Raises `InvalidServiceError`, and `StoreError`.
        """
        rows, service = self._editable(name), self.read(name, fields)
        if mistakes := service.mistakes_in_a_row:
            raise InvalidServiceError(name, mistakes)
        try:
            saved = await rows.save(name, service.given, expected)
        except RetiredNameError:
            problem = FieldFault("was the name of a service that was deleted; use another name")
            raise InvalidServiceError(name, {"name": problem}) from None
        self.read_again()
        return saved

    async def delete(self, name: str, expected: int) -> bool:
        """Delete the row, and return whether it was still this version. Its verifications end with it.

        No later service gets its name: verifications, keys, the account and the reports belong to a name, and
        a later service could be someone else's. The row of the site's own service only sets fields of it,
        which stays. Raises `StoreError`; if only the keys could not be revoked, they are refused all the same.
        """
        retire = name != DEFAULT_SERVICE
        deleted = await self._editable(name).delete(name, expected, retire=retire)
        self.read_again()
        if deleted and retire and self._revoke_keys is not None:
            await self._revoke_keys(name)
        return deleted

    def read_again(self) -> None:
        """Look at the rows in the next request: who tries a change must not meet what was read before it."""
        self._demands += 1
        self._checked_at = float("-inf")

    def _editable(self, name: str) -> ServiceRows:
        if name in self.fixed:
            raise InvalidServiceError(
                name, {"name": FieldFault("is defined in PHONE_VERIFY_SERVICES; change it there")}
            )
        if self.rows is None:
            raise InvalidServiceError(
                name, {"name": FieldFault("cannot be stored; set PHONE_VERIFY_LEDGER to a database")}
            )
        return self.rows

    def _fixed(self, name: str) -> Service | None:
        return self.fixed.get(name) or (self.default if name == DEFAULT_SERVICE else None)

    async def _refresh(self, rows: ServiceRows, waiting: Waiting) -> None:
        """Read what has changed, unless that was done within `FRESH` seconds, or another request does it."""
        while self._ticks() - self._checked_at >= FRESH:
            if self._reading.acquire(blocking=False):
                try:
                    await self._read_changes(rows)
                finally:
                    self._reading.release()
                return
            if self._versions is not None and self._checked_at > float("-inf"):
                return
            await waiting.pause(_PAUSE)  # nothing was read before, or not since a change

    async def _read_changes(self, rows: ServiceRows) -> None:
        began, demands = self._ticks(), self._demands
        try:
            # First: a change that comes between the two is read again next time.
            version = await rows.version()
            if version != self._version or self._versions is None:
                versions = await rows.versions()
                for name, loaded in list(self._loaded.items()):
                    if versions.get(name) != loaded.version:
                        await self._load(rows, name)
                self._versions, self._version = versions, version
        except StoreError as error:
            began = self._ticks()  # a database that does not answer is asked again after a while
            if not self.is_down:
                log.error("the services could not be read, so those that are known stay in force: %s", error)
            self.is_down = True
        else:
            if self.is_down:
                log.warning("the services can be read again")
            self.is_down = False
        finally:
            # Not if another request has asked for a look meanwhile: its change may have come after this one.
            self._checked_at = began if demands == self._demands else float("-inf")

    async def _load(self, rows: ServiceRows, name: str) -> _Loaded | None:
        row = await rows.load(name)
        if row is None:
            with self._changing:
                self._loaded.pop(name, None)
            return None
        earlier, endpoints = self._loaded.get(name), _NO_ENDPOINTS
        try:
            service: Service | None = self.read(name, row.document)
        except InvalidServiceError as error:
            service, endpoints = earlier.service if earlier is not None else None, error.endpoints
            kept = "its last valid form stays in force" if service is not None else "it cannot be used"
            log.error("%s; %s", error, kept)
        if service is not None and (mistakes := service.mistakes_in_a_row):
            service = service.as_in_a_row()
            log.error("%s; these endpoints get no message", InvalidServiceError(name, mistakes))
        loaded = _Loaded(row.version, service, service.endpoints if service is not None else endpoints)
        with self._changing:
            self._loaded[name] = loaded
            self._loaded.move_to_end(name)
            while len(self._loaded) > MOST_KEPT:
                self._loaded.popitem(last=False)
        return loaded


class ForServices(Generic[T]):
    """What `make` makes for each service, made again after a change of the service; at most `MOST_KEPT`."""

    def __init__(
        self, services: Services, make: Callable[[Service], T], waiting: Waiting, *, in_thread: bool = False
    ) -> None:
        self._services, self._make, self._waiting, self._in_thread = services, make, waiting, in_thread
        self._made: OrderedDict[str, tuple[Service, T]] = OrderedDict()
        self._lock = threading.Lock()

    async def find(self, name: str) -> T | None:
        """Return that of the service of this name, or None. Raises `StoreError`."""
        service = await self._services.find(name, self._waiting, in_thread=self._in_thread)
        return None if service is None else self._of(service)

    def known(self, name: str) -> T | None:
        """Return that of the service as last read, without a look at the rows, or None."""
        service = self._services.known(name)
        return None if service is None else self._of(service)

    def _of(self, service: Service) -> T:
        with self._lock:
            kept = self._made.get(service.name)
            if kept is None or kept[0] is not service:
                kept = self._made[service.name] = service, self._make(service)
            self._made.move_to_end(service.name)
            while len(self._made) > MOST_KEPT:
                self._made.popitem(last=False)
            return kept[1]
