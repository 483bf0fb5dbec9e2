"""One service: its channels, limits, texts and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ..errors import ConfigurationError, FieldFault
from ..i18n.messages import Wording
from ..ledger.caps import Cap
from ..ledger.values import Terms
from ..model import Channel
from ..policy import Policy, SendQuotas
from ..purposes import DEFAULT_SERVICE
from ..webhooks_out.endpoints import Endpoint


class Combine(StrEnum):
    """How the channels of a service combine to a proof."""

    CHOICE = "choice"  #: the user chooses one
    ANY = "any"  #: one of them, the first that reaches the phone unless another one is named
    ALL = "all"  #: each of them verifies the phone
    CALL_FIRST = "call_first"  #: each of them, and the others start only after the phone has called


class InvalidServiceError(ConfigurationError):
    """A service with mistakes: `fields` maps each field to what is wrong with it.

    `endpoints` are those that can be used all the same.
    """

    def __init__(self, name: str, fields: Mapping[str, str], endpoints: Sequence[Endpoint] = ()) -> None:
        said = "; ".join(f"{field}: {problem}" for field, problem in fields.items())
        super().__init__(f"service {name}: {said}")
        self.name, self.fields, self.endpoints = name, dict(fields), endpoints


#: Users who may edit a service need not be those who may reach what listens on this machine.
_ON_THIS_MACHINE = FieldFault("the host is this machine; define a service for development in PHONE_VERIFY_SERVICES")


@dataclass(frozen=True, slots=True)
class Service:
    """A service as it is in force: what its owner left out is that of the site."""

    name: str = DEFAULT_SERVICE
    #: What messages name in place of the site; empty: the site's name.
    title: str = ""
    #: Whether the API serves it to visitors of the site's own origins, without an access key.
    public: bool = False
    policy: Policy = field(default_factory=Policy)
    #: In order of preference; empty: those of the site.
    channels: Sequence[Channel] = ()
    #: Names of drivers in order of failover; empty: those of the site.
    drivers: Sequence[str] = ()
    combine: Combine = Combine.CHOICE
    quotas: SendQuotas = field(default_factory=SendQuotas)
    #: The purposes for which it may be used; empty: all.
    purposes: Sequence[str] = ()
    wording: Wording = field(default_factory=Wording)
    #: Tags of the languages of its messages, the first for all other locales; empty: every language.
    languages: Sequence[str] = ()
    #: How much it may send and spend; and the terms of its account, None without one.
    caps: Sequence[Cap] = ()
    terms: Terms | None = None
    #: The URLs that receive its events.
    endpoints: Sequence[Endpoint] = field(default=(), repr=False)
    #: The fields that its owner has set, in a form for JSON.
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def mistakes_in_a_row(self) -> Mapping[str, str]:
        """What is wrong, by field, if the service is a row of a database: endpoints on this machine."""
        here = any(endpoint.is_on_this_machine for endpoint in self.endpoints)
        return {"endpoints": _ON_THIS_MACHINE} if here else {}

    def as_in_a_row(self) -> Service:
        """Return the service without the endpoints that a row cannot have."""
        return replace(self, endpoints=[each for each in self.endpoints if not each.is_on_this_machine])
