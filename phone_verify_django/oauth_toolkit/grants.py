"""The grants that `PHONE_VERIFY["oauth_grants"]` defines, and the clients that may use them.

PHONE_VERIFY = {"oauth_grants": {"mobile_verification": {"clients": ["shop-app"]}}, …}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from phone_verify.errors import ConfigurationError, quoted
from phone_verify.oauth.grant import DEFAULT_PURPOSES, Grant

from .. import app_settings
from ..site import current_site

_EXAMPLE = "{'mobile_verification': {'clients': ['shop-app']}}"
_ENTRIES = ("clients", "purposes", "judge")


@dataclass(frozen=True, slots=True)
class ClientGrant:
    """A grant, and the ids of the applications that may use it."""

    grant: Grant
    clients: Collection[str]


def client_grants() -> Mapping[str, ClientGrant]:
    """Return the grants by name. Raises `ConfigurationError` for an invalid setting."""
    setting = app_settings.account_settings().oauth_grants
    if not isinstance(setting, Mapping) or not setting:
        raise ConfigurationError(
            "PHONE_VERIFY['oauth_grants'] does not define a grant", f"Set it to a dict, like {_EXAMPLE}."
        )
    return {str(name): _client_grant(str(name), entry) for name, entry in setting.items()}


def clients() -> Collection[str]:
    """Return the ids of the applications that may use a grant, and so start verifications."""
    return {client for each in client_grants().values() for client in each.clients}


def _client_grant(name: str, entry: object) -> ClientGrant:
    where = f"PHONE_VERIFY['oauth_grants'][{quoted(name)}]"
    if not isinstance(entry, Mapping) or (unknown := [key for key in entry if key not in _ENTRIES]):
        problem = f"has the unknown key {quoted(unknown[0])}" if isinstance(entry, Mapping) else "is not a dict"
        raise ConfigurationError(f"{where} {problem}", f"Its keys are {', '.join(_ENTRIES)}, as in {_EXAMPLE}.")
    allowed = _texts(entry.get("clients"))
    if not allowed:
        raise ConfigurationError(
            f"{where} names no client",
            "Set 'clients' to a list with the client ids of the applications that may use it.",
        )
    purposes = _texts(entry.get("purposes", DEFAULT_PURPOSES))
    if not purposes:
        raise ConfigurationError(
            f"{where} has no list of purposes", "Set 'purposes', or remove it for login and signup."
        )
    try:
        judge = app_settings.load(entry.get("judge"))
    except ImportError as error:
        raise ConfigurationError(f"{where}: 'judge' cannot be imported: {error}") from None
    if judge is not None and not callable(judge):
        raise ConfigurationError(
            f"{where}: 'judge' is not a function", "Set it to the dotted path of one, like 'shop.oauth.is_attendee'."
        )
    grant = Grant(name, purposes, judge)
    grant.validate(current_site().purposes)
    return ClientGrant(grant, allowed)


def _texts(value: object) -> Collection[str]:
    if isinstance(value, str) or not isinstance(value, Collection) or not all(isinstance(v, str) and v for v in value):
        return ()
    return tuple(value)
