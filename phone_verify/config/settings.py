"""Parses the settings: the only module that contains the names `PHONE_VERIFY_…`.

`Settings.read` takes a mapping (an adapter's settings, lower-case names without the prefix) and the
environment, which provides what the mapping leaves out. `build` makes the site. Invalid
configuration raises, at start-up, a `ConfigurationError` that names the setting and tells you how
to fix it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal

from ..codes import DRAW_WEBHOOK_SECRET, weakness_of_webhook_secret
from ..errors import ConfigurationError, is_name, quoted
from ..fraud.rules import FraudRules
from ..http.brand import Brand
from ..http.proxies import Network
from ..i18n.messages import Wording
from ..model import Channel
from ..policy import Policy
from ..purposes import DEFAULT_SERVICE, Purposes, read_purposes
from ..routing.rules import Rule
from .addresses import host_of, read_captcha_source, read_frame_ancestor, read_network, read_public_url
from .attestation import read_attestation
from .background import NAMES as BACKGROUND_NAMES
from .background import BackgroundSettings, read_background
from .fallbacks import read_fallbacks
from .fraud import read_fraud
from .ledger import NAMES as LEDGER_NAMES
from .ledger import LedgerSettings, read_ledger
from .messages import read_wording
from .metrics import read_metrics_token
from .origins import read_origin
from .routes import read_routes
from .services import read_service_name, read_services

PREFIX = "PHONE_VERIFY_"

#: The variables that hold DSNs, in the order in which drivers are named and channels preferred.
CHANNEL_NAMES = ("sms", "flash_call", "inbound_call", "voice", "telegram", "whatsapp")
_NUMBERS = (
    "code_length",
    "max_attempts",
    "max_failures",
    "sends_per_hour",
    "sends_per_hour_per_address",
    "sends_per_hour_per_prefix",
    "sends_per_hour_total",
    "failures_ceiling",
    "short_failures_per_day",
    "failures_per_day",
    "wrong_per_hour_per_address",
    "sends_per_hour_per_client",
    "wrong_per_hour_per_client",
    "trusted_proxies",
)
_SECONDS = ("ttl", "resend_after")
#: Smallest and largest `next_channel_after`, apart from 0.
_NEXT_CHANNEL_AFTER = (timedelta(seconds=10), timedelta(seconds=600))
_LISTS = (
    "channels",
    "drivers",
    "fallbacks",
    "secret_keys",
    "webhook_secret",
    "allowed_regions",
    "purposes",
    "frame_ancestors",
    "captcha_sources",
    "test_passcodes",
    "test_passcodes_in_production",
    "staff_roles",
    "trusted_networks",
    "other_public_urls",
    "trusted_origins",
)
_FLAGS = ("staff_sign_in_by_phone", "notify_old_number", "cost_notice", "next_channel_sends_by_itself",
          "offer_last_number")  # fmt: skip
#: Looks and links of the pages, and the field of `Brand` that each fills.
_ADDRESSES = {
    "site_url": "url",
    "site_logo": "logo",
    "site_icon": "icon",
    "site_font": "font",
    "terms_url": "terms_url",
    "privacy_url": "privacy_url",
    "help_url": "help_url",
}
#: The settings of the pages' looks, and the fields of `Brand` that they fill.
BRAND_FIELDS = {**_ADDRESSES, "site_color": "color", "site_radius": "radius", "cost_notice": "cost_notice"}
_TEXTS = (
    "store",
    "ledger",
    "tag_key",
    "region",
    "public_url",
    "site_name",
    "client_address_header",
    *_ADDRESSES,
    "site_color",
    "site_radius",
    "caller_attestation",
    "metrics_token",
)
#: Functions, or their dotted paths.
FUNCTIONS = ("on_event", "before_send")
#: The settings of the messages.
_WORDING = ("texts", "android_hash")
KNOWN = (
    *CHANNEL_NAMES,
    *_LISTS,
    *_TEXTS,
    *_NUMBERS,
    *_SECONDS,
    "next_channel_after",
    *_FLAGS,
    *FUNCTIONS,
    *_WORDING,
    "routes",
    "fraud",
    "services",
    "service",
    *LEDGER_NAMES,
    *BACKGROUND_NAMES,
)

#: The staff roles if the site names none: the same words as the flags that mark staff on a user.
STAFF_ROLES = ("admin", "staff", "superuser")
#: An empty list of these means: none. Every other empty value means that the setting is not set.
_MAY_BE_EMPTY = ("staff_roles", "trusted_origins")
_FLAG_WORDS = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}


_URL_SAFE = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)
_ADDRESS = re.compile(r"(https://[A-Za-z0-9.-]+(:[0-9]{1,5})?)?/[^\s\"'<>\\\x00-\x20;]*", re.ASCII)
_MAIL = re.compile(r"mailto:[^\s\"'<>\\]+@[^\s\"'<>\\]+", re.ASCII)
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
_RADIUS = re.compile(r"0|[0-9]{1,3}(\.[0-9]{1,3})?(px|rem|em)", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, parsed and typed. DSNs and keys do not appear in the repr."""

    dsns: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    policy: Policy = field(default_factory=Policy)
    channels: Sequence[Channel] = ()
    #: Dotted paths of the site's own drivers.
    drivers: Sequence[str] = ()
    store: str | None = field(default=None, repr=False)
    #: The database of services, access keys and the ledger; None: there are none.
    ledger: str | None = field(default=None, repr=False)
    secret_keys: Sequence[str] = field(default=(), repr=False)
    tag_key: str | None = field(default=None, repr=False)
    #: Newest first; a list for the time in which providers are moved from one to the next.
    webhook_secret: Sequence[str] = field(default=(), repr=False)
    public_url: str | None = None
    #: Further addresses of the same site, in the form of `public_url`.
    other_public_urls: Sequence[str] = ()
    #: Other origins that may call the API, as browsers send them; None: the framework's.
    trusted_origins: Sequence[str] | None = None
    site_name: str = ""
    trusted_proxies: int = 0
    #: Networks of the trusted proxies, and the word `unix` for a Unix socket.
    trusted_networks: Sequence[Network | Literal["unix"]] = ()
    #: In lower case; None for `X-Forwarded-For`.
    client_address_header: str | None = None
    purposes: Purposes = field(default_factory=Purposes)
    #: Sources of the pages' Content-Security-Policy.
    frame_ancestors: Sequence[str] = ()
    #: Further sources of that policy, for the widget of a captcha.
    captcha_sources: Sequence[str] = ()
    test_passcodes: Sequence[str] = field(default=(), repr=False)
    test_passcodes_in_production: Sequence[str] = field(default=(), repr=False)
    #: Whether a code sent to the phone alone signs in users with rights over other users.
    staff_sign_in_by_phone: bool = False
    notify_old_number: bool = False
    #: Names of the roles that give such rights, if the framework's users have roles.
    staff_roles: Sequence[str] = STAFF_ROLES
    #: Looks and links of the pages.
    brand: Brand = field(default_factory=Brand)
    #: How long after the last order the code page offers the next channel first; 0: never.
    next_channel_after: timedelta = timedelta(0)
    #: Whether the code page's script then sends on that channel without a press.
    next_channel_sends_by_itself: bool = False
    #: Whether the login page of a trusted device offers to continue with the number used last.
    offer_last_number: bool = True
    #: The bearer token of the endpoint for Prometheus; empty: there is no endpoint, and nothing is counted.
    metrics_token: str = field(default="", repr=False)
    on_event: object = None
    before_send: object = None
    #: Which drivers carry the orders to some numbers, in which order and shares.
    routes: Sequence[Rule] = ()
    #: The rules of the fraud guard; None without one.
    fraud: FraudRules | None = None
    #: The fields of each service by its name, which `service_fields` reads.
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    #: The service of the site's own pages, and of calls to the API that name none.
    service: str = DEFAULT_SERVICE
    #: What is limited in the ledger.
    accounting: LedgerSettings = field(default_factory=LedgerSettings)
    #: Who sends, what providers' accounts should hold, and how long attempts are kept.
    background: BackgroundSettings = field(default_factory=BackgroundSettings)
    #: The site's own texts of messages, and the hashes of its Android apps.
    wording: Wording = field(default_factory=Wording)

    @classmethod
    def from_mapping(
        cls,
        values: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        own_names: Collection[str] = (),
    ) -> Settings:
        """Return the settings of `values`, with the environment's where `values` has none.

        Rejects unknown names, with the most similar one of `KNOWN` and of the adapter's `own_names`.
        """
        values = values or {}
        if unknown := [name for name in values if name not in KNOWN]:
            written = PREFIX + unknown[0].upper() if is_name(unknown[0]) else quoted(unknown[0])
            raise ConfigurationError(f"unknown setting {written}", advice_on_unknown(unknown[0], own_names))
        given = merge_environ(values, environ or {})
        numbers: dict[str, Any] = {name: _number(name, given[name]) for name in _NUMBERS if name in given}
        trusted_proxies = numbers.pop("trusted_proxies", 0)
        if trusted_proxies < 0:
            raise ConfigurationError(f"{PREFIX}TRUSTED_PROXIES must be 0 or more")
        seconds: dict[str, Any] = {name: _seconds(name, given[name]) for name in _SECONDS if name in given}
        allowed = _list("allowed_regions", given)
        purposes = read_purposes(_list("purposes", given))
        next_channel_after, sends_by_itself = _next_channel(given)
        policy = Policy(
            code_limits=purposes.limits,
            required_channels={
                name: [_channel(word, "PURPOSES") for word in words] for name, words in purposes.required.items()
            },
            fallbacks=read_fallbacks(_list("fallbacks", given)),
            region=_text("region", given),
            allowed_regions=frozenset(allowed) if allowed else None,
            caller_attestation=read_attestation(_text("caller_attestation", given)),
            **{**numbers, **seconds},
        )
        public_url = read_public_url("public_url", _text("public_url", given))
        webhook_secret = _list("webhook_secret", given)
        if not all(map(_URL_SAFE.match, webhook_secret)):
            raise ConfigurationError(f"{PREFIX}WEBHOOK_SECRET is part of URLs: use letters, digits, - and _ only")
        if weakness := next(filter(None, map(weakness_of_webhook_secret, webhook_secret)), None):
            raise ConfigurationError(f"{PREFIX}WEBHOOK_SECRET: {weakness}; use the output of: {DRAW_WEBHOOK_SECRET}")
        return cls(
            dsns={name: _dsns(name, given[name]) for name in CHANNEL_NAMES if name in given},
            policy=policy,
            channels=[_channel(word, "CHANNELS") for word in _list("channels", given)],
            store=_text("store", given),
            ledger=_text("ledger", given),
            secret_keys=_list("secret_keys", given),
            tag_key=_text("tag_key", given),
            webhook_secret=webhook_secret,
            public_url=public_url,
            other_public_urls=[
                url for text in _list("other_public_urls", given) if (url := read_public_url("other_public_urls", text))
            ],
            trusted_origins=_origins("trusted_origins", given),
            site_name=_text("site_name", given) or (host_of(public_url) or ""),
            trusted_proxies=trusted_proxies,
            trusted_networks=[read_network(word) for word in _list("trusted_networks", given)],
            client_address_header=_header("client_address_header", given),
            purposes=purposes,
            frame_ancestors=[read_frame_ancestor(word) for word in _list("frame_ancestors", given)],
            captcha_sources=[read_captcha_source(word) for word in _list("captcha_sources", given)],
            test_passcodes=_list("test_passcodes", given),
            test_passcodes_in_production=_list("test_passcodes_in_production", given),
            staff_sign_in_by_phone=_flag("staff_sign_in_by_phone", given),
            notify_old_number=_flag("notify_old_number", given),
            staff_roles=_list("staff_roles", given) if "staff_roles" in given else STAFF_ROLES,
            brand=_brand(given),
            next_channel_after=next_channel_after,
            next_channel_sends_by_itself=sends_by_itself,
            offer_last_number=_flag("offer_last_number", given, default=True),
            drivers=_list("drivers", given),
            metrics_token=read_metrics_token(_text("metrics_token", given)),
            on_event=given.get("on_event"),
            before_send=given.get("before_send"),
            wording=read_wording(given),
            routes=read_routes(given.get("routes")),
            fraud=read_fraud(given.get("fraud")),
            services=read_services(given.get("services")),
            service=read_service_name(given.get("service")),
            accounting=read_ledger(given),
            background=read_background(given),
        )


def merge_environ(values: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    """Return the unparsed settings: `values`, and the environment's where `values` has none.

    An empty value is left out: a compose file passes an unset variable as an empty text.
    """
    given = {name: value for name, value in values.items() if not is_unset(name, value)}
    for name in KNOWN:
        text = environ.get(PREFIX + name.upper(), "")
        if name not in given and text.strip():
            given[name] = text
    return given


def is_unset(name: str, value: object) -> bool:
    """Return whether this value means that the setting is not set.

    That is None; and for a setting that is a text or a list, an empty one. An empty number or flag
    is refused as malformed.
    """
    if name not in (*CHANNEL_NAMES, *_LISTS, *_TEXTS, *LEDGER_NAMES, *BACKGROUND_NAMES):
        return value is None
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list | tuple | set | frozenset):
        return not value and name not in _MAY_BE_EMPTY
    return value is None


def advice_on_unknown(name: str, own_names: Collection[str] = ()) -> str:
    """Return what to write in place of an unknown setting."""
    near = get_close_matches(name.lower(), [*KNOWN, *own_names], n=1)
    return f"Did you mean {PREFIX}{near[0].upper()}?" if near else "Remove it."


def missing_channel(values: Mapping[str, object], environ: Mapping[str, str]) -> ConfigurationError | None:
    """Return the problem of a site without a channel, or None.

    It is not raised: such a site runs, and shows that verification is not available.
    """
    if not merge_environ(values, environ).keys().isdisjoint(CHANNEL_NAMES):
        return None
    empty = [name for name in CHANNEL_NAMES if values.get(name) is not None or PREFIX + name.upper() in environ]
    why = f" ({', '.join(PREFIX + name.upper() for name in empty)} is empty)" if empty else ""
    return ConfigurationError(
        f"no channel is configured{why}: no number can be verified, and every start fails with 503",
        f"Set {PREFIX}SMS=console:// for development, or to the DSN of a provider; `phone-verify drivers` lists them.",
    )


def _text(name: str, given: Mapping[str, object]) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f"{PREFIX}{name.upper()} must be a string")
    return value.strip() or None


def _list(name: str, given: Mapping[str, object]) -> list[str]:
    value = given.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(word, str) for word in value):
        return list(value)
    raise ConfigurationError(f"{PREFIX}{name.upper()} must be a list of strings, or one comma-separated string")


def _dsns(name: str, value: object) -> list[str]:
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
        return [text.strip() for text in value if text.strip()]
    raise ConfigurationError(f"{PREFIX}{name.upper()} must be DSNs, separated by white space, or a list of them")


def _flag(name: str, given: Mapping[str, object], *, default: bool = False) -> bool:
    value = given.get(name, default)
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _FLAG_WORDS:
        raise ConfigurationError(f"{PREFIX}{name.upper()} must be True or False (in the environment 1 or 0)")
    return _FLAG_WORDS[word]


def _number(name: str, value: object) -> int:
    if isinstance(value, str) and re.match(r"-?[0-9]{1,9}\Z", value.strip(), re.ASCII):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ConfigurationError(f"{PREFIX}{name.upper()} must be a whole number")


def _seconds(name: str, value: object) -> timedelta:
    return value if isinstance(value, timedelta) else timedelta(seconds=_number(name, value))


def _next_channel(given: Mapping[str, object]) -> tuple[timedelta, bool]:
    """Return when the code page offers the next channel first, and whether it then sends by itself."""
    after = _seconds("next_channel_after", given.get("next_channel_after", 0))
    by_itself = _flag("next_channel_sends_by_itself", given)
    low, high = _NEXT_CHANNEL_AFTER
    if after and not low <= after <= high:
        raise ConfigurationError(
            f"{PREFIX}NEXT_CHANNEL_AFTER must be 0 (off) or from {low.seconds} to {high.seconds} seconds"
        )
    if by_itself and not after:
        raise ConfigurationError(f"{PREFIX}NEXT_CHANNEL_SENDS_BY_ITSELF needs {PREFIX}NEXT_CHANNEL_AFTER")
    return after, by_itself


def _channel(word: str, setting: str) -> Channel:
    try:
        return Channel(word)
    except ValueError:
        raise ConfigurationError(
            f"{PREFIX}{setting}: unknown channel {quoted(word)}; known channels: {', '.join(Channel)}"
        ) from None


def _origins(name: str, given: Mapping[str, object]) -> list[str] | None:
    if name not in given:
        return None
    try:
        return list(dict.fromkeys(map(read_origin, _list(name, given))))
    except ValueError as error:
        raise ConfigurationError(f"{PREFIX}{name.upper()}: {error}") from None


def _header(name: str, given: Mapping[str, object]) -> str | None:
    text = _text(name, given)
    if text is not None and not _HEADER_NAME.fullmatch(text):
        raise ConfigurationError(f"{PREFIX}{name.upper()}: use the name of a header, like CF-Connecting-IP")
    return text.lower() if text else None


def _brand(given: Mapping[str, object]) -> Brand:
    return Brand(
        color=_shaped("site_color", given, _COLOR, "a color like #5b21b6"),
        radius=_shaped("site_radius", given, _RADIUS, "a length like 8px or 0.5rem"),
        cost_notice=_flag("cost_notice", given),
        **{name: _address(setting, given) for setting, name in _ADDRESSES.items()},
    )


def _shaped(name: str, given: Mapping[str, object], shape: re.Pattern[str], wanted: str) -> str:
    text = _text(name, given) or ""
    if text and not shape.fullmatch(text):
        raise ConfigurationError(f"{PREFIX}{name.upper()}: use {wanted}")
    return text


def _address(name: str, given: Mapping[str, object]) -> str:
    """Return an address of the site or of another host, fit for a link, a style sheet and a policy."""
    text = _text(name, given) or ""
    if not text or (name == "help_url" and _MAIL.fullmatch(text)):
        return text
    if not _ADDRESS.fullmatch(text if "/" in text.removeprefix("https://") else f"{text}/") or text.startswith("//"):
        raise ConfigurationError(f"{PREFIX}{name.upper()}: use a path like /about, or an address with https://")
    return text
