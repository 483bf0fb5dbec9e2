"""The options of a store URL, `?name=value`: which there are, and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import sqlalchemy as sa

from ...errors import ConfigurationError, quoted

#: The modes of a pooler between the site and PostgreSQL, as `pooler` names them.
TRANSACTION, NO_POOLER = "transaction", "none"

#: By scheme. Those of PostgreSQL are libpq's, except for `pooler`; those of MySQL are PyMySQL's.
_OPTIONS: Mapping[str, Sequence[str]] = {
    "sqlite": (),
    "postgresql": (
        *("pooler", "application_name", "connect_timeout", "tcp_user_timeout", "options", "host", "port", "hostaddr"),
        *("passfile", "service", "target_session_attrs", "load_balance_hosts", "require_auth", "channel_binding"),
        *("sslmode", "sslnegotiation", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslcrldir"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "gssencmode", "krbsrvname"),
    ),
    "mysql": (
        *("connect_timeout", "read_timeout", "write_timeout", "unix_socket", "bind_address", "init_command"),
        *("read_default_file", "read_default_group", "charset"),  # the store's connections use utf8mb4
        *("ssl_ca", "ssl_cert", "ssl_key", "ssl_capath", "ssl_cipher", "ssl_check_hostname"),
    ),
}
#: SQLAlchemy reads a host and port for each of several servers from these.
_MAY_REPEAT = ("host", "port")


def read_options(url: sa.URL) -> Mapping[str, str]:
    """Return the options of a store URL, without hosts and ports. Raises `ConfigurationError`.

    The error shows names of options only: a value may be a password.
    """
    scheme, known = url.drivername, _OPTIONS[url.drivername]
    found: dict[str, str] = {}
    for name, value in url.query.items():
        if name not in known:
            raise ConfigurationError(f"PHONE_VERIFY_STORE: {_unknown(scheme, name, known)}")
        if name in _MAY_REPEAT:
            continue
        if not isinstance(value, str):
            raise ConfigurationError(f"PHONE_VERIFY_STORE: option {name!r} is there twice; write it once")
        if name.endswith("_timeout") and not (value.isascii() and value.isdigit()):
            unit = "milliseconds" if name == "tcp_user_timeout" else "seconds"
            raise ConfigurationError(f"PHONE_VERIFY_STORE: option {name!r}: write whole {unit}, e.g. {name}=5")
        found[name] = value
    if found.get("pooler", NO_POOLER) not in (TRANSACTION, NO_POOLER):
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: option 'pooler': write pooler={TRANSACTION} or pooler={NO_POOLER}; without it a "
            "pooler is detected"
        )
    return found


def _unknown(scheme: str, name: str, known: Sequence[str]) -> str:
    if not known:
        return f"{scheme}:// has no options; remove {quoted(name)}"
    close = get_close_matches(name.lower(), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown option {quoted(name)}{hint} {scheme}:// has the options {', '.join(known)}"
