"""The services of a site, as a verifier of one of them sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from ..errors import quoted
from ..model import is_id
from ..parts import Components

T = TypeVar("T")


class ServiceAccess(Generic[T]):
    """Finds the verifiers of other services over the same store, and says what its own may be used for."""

    def __init__(self, own: T, parts: Components) -> None:
        self._own, self._parts = own, parts

    @property
    def exist(self) -> bool:
        """Whether the site has services besides its own."""
        return self._parts.find_service is not None

    async def find(self, name: str) -> T | None:
        """Return the verifier of the service with this name as it is now, or None. Raises `StoreError`."""
        if self._parts.find_service is None:
            return self._own if name == self._parts.service else None
        found: T | None = await self._parts.find_service(name)
        return found

    async def named(self, name: str) -> T:
        """As `find`, but raise `LookupError` without one."""
        found = await self.find(name)
        if found is None:
            raise LookupError(f"no service is named {quoted(name)}")
        return found

    async def of_verification(self, id: str) -> T:
        """Return the verifier of the service to which this verification belongs.

        For an unknown one, or that of a service that was deleted, this verifier, which does not know it.
        Reads the verification if the site has services. Raises `StoreError`.
        """
        record = await self._parts.store.get(id, self._parts.now()) if self.exist and is_id(id) else None
        if record is None or record.service == self._parts.service:
            return self._own
        return await self.find(record.service) or self._own

    def accepted(self, purposes: Sequence[str]) -> Sequence[str]:
        """Return those of these purposes for which the service may be used."""
        return [purpose for purpose in purposes if not self._parts.purposes or purpose in self._parts.purposes]

    def require(self, purpose: str) -> None:
        """Raise `ValueError` if the service may not be used for this purpose."""
        if not self.accepted([purpose]):
            raise ValueError(
                f"purpose: the service {self._parts.service} is for {', '.join(self._parts.purposes)}, "
                f"not {quoted(purpose)}"
            )
