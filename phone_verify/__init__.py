"""Verify phone numbers by SMS code, flash call or inbound call, with any provider.

    site = build_site(Settings.from_mapping(environ=os.environ))
    started = site.verifier.start(PhoneNumber.parse("+989120000000"))
    if isinstance(started, Started):  # else `started.reason` is why not
        outcome = site.verifier.check(started.verification.id, started.secret, "482913")

The names below are those that most programs need; each is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .before_send import ClientFacts, Refusal, SendOrder
    from .config.settings import Settings
    from .config.site import build_site
    from .errors import (
        ConfigurationError,
        FailureKind,
        InvalidPhoneError,
        PhoneVerifyError,
        ProviderError,
        StoreError,
        UnclearError,
    )
    from .model import Assurance, Channel, Order, Outcome, Reason, Redeemed, Started, Status, Verification
    from .phone import PhoneNumber
    from .policy import Policy
    from .verifier.blocking import Verifier
    from .verifier.operations import AsyncVerifier

__version__ = "0.1.0"

_HOMES = {
    "before_send": ("ClientFacts", "Refusal", "SendOrder"),
    "config.settings": ("Settings",),
    "config.site": ("build_site",),
    "errors": (
        "ConfigurationError",
        "FailureKind",
        "InvalidPhoneError",
        "PhoneVerifyError",
        "ProviderError",
        "StoreError",
        "UnclearError",
    ),
    "model": ("Assurance", "Channel", "Order", "Outcome", "Reason", "Redeemed", "Started", "Status", "Verification"),
    "phone": ("PhoneNumber",),
    "policy": ("Policy",),
    "verifier.blocking": ("Verifier",),
    "verifier.operations": ("AsyncVerifier",),
}

__all__ = [
    "Assurance",
    "AsyncVerifier",
    "Channel",
    "ClientFacts",
    "ConfigurationError",
    "FailureKind",
    "InvalidPhoneError",
    "Order",
    "Outcome",
    "PhoneNumber",
    "PhoneVerifyError",
    "Policy",
    "ProviderError",
    "Reason",
    "Redeemed",
    "Refusal",
    "SendOrder",
    "Settings",
    "Started",
    "Status",
    "StoreError",
    "UnclearError",
    "Verification",
    "Verifier",
    "build_site",
]


def __getattr__(name: str) -> object:
    # A process that only runs migrations should not import HTTP, signing and numbering plans.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
