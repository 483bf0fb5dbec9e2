"""The simulated providers. A new one is a module in this package with a `PROVIDER`.

Modules without it hold what several protocols share.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from phone_verify.sandbox.protocols.base import Provider


def _found() -> dict[str, Provider]:
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    providers = [provider for module in modules if isinstance(provider := getattr(module, "PROVIDER", None), Provider)]
    return {provider.name: provider for provider in sorted(providers, key=lambda provider: provider.name)}


PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(_found())
