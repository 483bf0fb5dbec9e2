"""The trusted proxies, from the settings that name them together."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..http.proxies import FORWARDED_FOR, Proxies
from .settings import PREFIX, Settings

_HEADER, _NETWORKS, _COUNT = f"{PREFIX}CLIENT_ADDRESS_HEADER", f"{PREFIX}TRUSTED_NETWORKS", f"{PREFIX}TRUSTED_PROXIES"


def load_proxies(settings: Settings) -> Proxies:
    """Return the trusted proxies. Raises `ConfigurationError` where a client could choose its own address."""
    found = Proxies(
        count=settings.trusted_proxies,
        header=settings.client_address_header or FORWARDED_FOR,
        networks=[network for network in settings.trusted_networks if network != "unix"],
        unix_socket="unix" in settings.trusted_networks,
    )
    if found.is_chain:
        if settings.client_address_header and not found.are_trusted:
            raise ConfigurationError(
                f"{_HEADER} is not read without {_NETWORKS} or {_COUNT}: anyone can send that header"
            )
    elif not found.are_named:
        raise ConfigurationError(
            f"{_HEADER} needs {_NETWORKS}, the networks of the proxies that set it: anyone can send that header"
        )
    elif found.count:
        raise ConfigurationError(
            f"{_COUNT} counts the entries of X-Forwarded-For or Forwarded; with another {_HEADER} remove it"
        )
    return found
