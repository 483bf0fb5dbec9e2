"""The endpoints of services, as the ledger and the delivery of webhooks find them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import StoreError
from ..sync import ThreadWaiting, run

if TYPE_CHECKING:
    from ..services.catalog import Services
    from ..webhooks_out.endpoints import Endpoint, Endpoints


def endpoints_of(services: Services | None) -> Endpoints:
    """Return a function that returns the endpoints of a service as it is now; none for an unknown one."""

    def find(name: str) -> Sequence[Endpoint]:
        if services is None:
            return ()
        try:
            service = run(services.find(name, ThreadWaiting()))
        except StoreError:
            # A step of the ledger must not fail for this, nor lose a message.
            return services.endpoints(name)
        return service.endpoints if service is not None else ()

    return find
