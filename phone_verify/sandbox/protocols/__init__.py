"""The simulated providers. A new one is a module in this package and an entry here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from phone_verify.sandbox.protocols import amoot, evand, ferzz, ssms, telefon_ip
from phone_verify.sandbox.protocols.base import Provider

PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            amoot.PROVIDER,
            evand.PROVIDER,
            ferzz.PROVIDER,
            ssms.PROVIDER,
            telefon_ip.PROVIDER,
        )
    }
)
