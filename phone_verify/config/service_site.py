"""Makes the services of a site, and the verifiers of each."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from ..errors import ConfigurationError, StoreError, quoted
from ..i18n.messages import message_writer
from ..parts import Components
from ..purposes import DEFAULT_SERVICE
from ..routing import Router
from ..services.base import ServiceRows
from ..services.catalog import ForServices, Services
from ..services.service import InvalidServiceError, Service
from ..stores.threaded import InThread
from ..sync import in_event_loop, run
from ..verifier.blocking import Verifier, following
from ..verifier.operations import AsyncVerifier
from .service_fields import read_service
from .settings import PREFIX, Settings

log = logging.getLogger("phone_verify")


def open_rows(url: str, own: Mapping[str, Callable[[str], ServiceRows]]) -> ServiceRows:
    """Return the rows of the database that `PHONE_VERIFY_LEDGER` names: one of the adapter's `own`, or an SQL one."""
    scheme = url.partition(":")[0]
    if scheme in own:
        return own[scheme](url)
    if scheme not in ("sqlite", "postgresql", "mysql"):
        known = ", ".join(f"{name}:" for name in ("sqlite", "postgresql", "mysql", *own))
        raise ConfigurationError(f"{PREFIX}LEDGER: unknown database {quoted(scheme)}; known: {known}")
    from ..database.connection import Database
    from ..database.services import SqlServiceRows

    return SqlServiceRows(Database.from_url(url))


def make_services(
    settings: Settings,
    router: Router,
    *,
    ticks: Callable[[], float],
    rows: ServiceRows | None,
    in_thread: InThread,
    revoke_keys: Callable[[str], Awaitable[None]] | None = None,
) -> Services:
    """Return the services of the settings and of the rows. Raises `ConfigurationError`."""

    def read(name: str, fields: Mapping[str, Any]) -> Service:
        return read_service(name, fields, settings, router)

    try:
        fixed = {name: read(name, fields) for name, fields in settings.services.items()}
    except InvalidServiceError as error:
        raise ConfigurationError(f"{PREFIX}SERVICES: {error}") from None
    if rows is None and settings.service not in (*fixed, DEFAULT_SERVICE):
        raise ConfigurationError(
            f"{PREFIX}SERVICE: no service is named {settings.service}; add it to {PREFIX}SERVICES, "
            f"or set {PREFIX}LEDGER to the database that holds it"
        )
    default = Service(
        policy=settings.policy,
        wording=settings.wording,
        caps=settings.accounting.caps,
        terms=settings.accounting.terms,
    )
    return Services(default, fixed, read=read, ticks=ticks, rows=rows, in_thread=in_thread, revoke_keys=revoke_keys)


def verifiers_of(
    services: Services,
    settings: Settings,
    host: str | None,
    parts: Components,
    async_parts: Callable[[], Components],
) -> tuple[Verifier, Callable[[], AsyncVerifier]]:
    """Return the blocking verifier of the site's own service, and a function that returns the async one.

    `host` is what messages name. Both follow changes of the service; the async one as of the last
    call of the API, since a function cannot wait for the database.
    """
    name = settings.service
    blocking, closed = _of_each(services, settings, host, parts, in_thread=False)

    def current() -> AsyncVerifier:
        if in_event_loop():  # calls of the API there have read the changes
            return blocking.known(name) or closed
        try:
            found = run(blocking.find(name))
        except StoreError as error:
            # No channel is left: pages say so, and calls to the API ask again, and answer 503.
            log.error("the service of the site's pages is not available: %s", error)
            return closed
        return found or closed

    @cache
    def of_async() -> tuple[ForServices[AsyncVerifier], AsyncVerifier]:
        return _of_each(services, settings, host, async_parts(), in_thread=True)

    def current_async() -> AsyncVerifier:
        each, closed = of_async()
        return each.known(name) or closed

    return following(Verifier, current), current_async


def _of_each(
    services: Services, settings: Settings, host: str | None, parts: Components, *, in_thread: bool
) -> tuple[ForServices[AsyncVerifier], AsyncVerifier]:
    """Return the verifiers of all services over these components, and one for a service that is missing."""

    def make(service: Service) -> AsyncVerifier:
        return AsyncVerifier(
            replace(
                parts,
                policy=service.policy,
                router=parts.router.limited_to(service.channels, service.drivers),
                texts=message_writer(service.title or settings.site_name, host, service.wording, service.languages),
                service=service.name,
                quotas=service.quotas,
                purposes=service.purposes,
                find_service=each.find,
                ledger=parts.ledger
                and replace(parts.ledger, service=service.name, caps=service.caps, terms=service.terms),
            )
        )

    each = ForServices(services, make, parts.waiting, in_thread=in_thread)
    closed = replace(parts, router=parts.router.closed(), service=settings.service, find_service=each.find)
    return each, AsyncVerifier(closed)
