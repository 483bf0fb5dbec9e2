"""The table of settings: names, types, ranges and defaults from the code, one sentence of meaning from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta

from phone_verify.config.background import BackgroundSettings
from phone_verify.config.settings import BRAND_FIELDS, CHANNEL_NAMES, KNOWN, Settings
from phone_verify.policy import COUNTS, RANGES, Policy
from phone_verify_django.app_settings import DEFAULT_ACCOUNTS, NAMES, PHONE_FIELDS, RECYCLED

from .markdown import table


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the code does not say: the meaning, and the default where the code computes it."""

    text: str
    default: str = "none"
    type: str = ""


_LIST = "list"
_FILE = "dict, or the path of a YAML or JSON file"

#: In the order of the table.
MEANINGS: Mapping[str, Meaning] = {
    "channels": Meaning(
        "Order of preference. A configured channel that is not listed is used only when a request names it.",
        "the configured channels, in the order of the row above",
    ),
    "store": Meaning(
        "Where verifications and counters are kept: `memory:` (one process), `sqlite:///relative`, "
        "`sqlite:////absolute`, `postgresql://…`, `mysql://…`, `redis://…`, `orm:` (Django). "
        "See [Which store](stores.md).",
        "Django: `orm:`; Flask: `phone_verify.sqlite3` in the instance folder",
        "URL",
    ),
    "ledger": Meaning(
        "The database of the [ledger](ledger.md), of [access keys](access_keys.md), of "
        "[services that you edit while the site runs](services.md#edit-services-while-the-site-runs) and of "
        "[outgoing webhooks](outgoing_webhooks.md): `sqlite:////absolute`, `postgresql://…`, `mysql://…`, or `orm:` "
        "(Django, with `phone_verify_django.services` in `INSTALLED_APPS`).",
        "none of them",
        "URL",
    ),
    "prices": Meaning("[Price table](ledger.md#prices) with exchange rates.", "none", _FILE),
    "caps": Meaning("[Caps](ledger.md#caps) of orders and money per hour, day, region and in total.", "none", _FILE),
    "terms": Meaning(
        "The [account](ledger.md#accounts) of the site's own service: credit limit and trial.",
        "none: no account",
        _FILE,
    ),
    "background": Meaning(
        "Who [sends](background.md#let-the-worker-send): the request (`off`), `worker`, `celery` or `django-tasks`. "
        "Needs a ledger.",
        "`off`",
        "text",
    ),
    "provider_balances": Meaning(
        "What your account at each driver's provider should hold, below which the [worker](background.md) raises "
        "alarms.",
        "none is watched",
        "dict, in the environment JSON",
    ),
    "ledger_days": Meaning(
        "Days after which the [worker](background.md) deletes attempts of the ledger.", "kept", "whole number"
    ),
    "secret_keys": Meaning(
        "Keys for signatures and digests, newest first. [Weak keys are refused](#keys).",
        "the framework's key and its fallbacks",
    ),
    "tag_key": Meaning(
        "Key for the phones' tags, which name phones in counters and searches. Set it before you first shorten "
        "`SECRET_KEYS`.",
        "the last of the secret keys",
    ),
    "region": Meaning(
        "Region of numbers typed in national form, like `IR`, [before the allowed ones](numbers.md). Without it "
        "numbers must start with `+`.",
    ),
    "allowed_regions": Meaning(
        "Regions that are served, like `IR,RU`. A start for another region is refused, also of a "
        "[shared plan](numbers.md#regions-that-share-a-numbering-plan).",
        "all, except blocked ranges",
        _LIST,
    ),
    "caller_attestation": Meaning(
        "The weakest [attestation](own_numbers.md#require-an-attestation) of a caller that verifies a call: `A`, `B`, "
        "or `any` call. `A` and `B` need drivers that report it.",
        "`any`",
    ),
    "metrics_token": Meaning(
        "The bearer token of the [endpoint for Prometheus](events.md#prometheus), 20 characters or more. Without it "
        "there is no endpoint."
    ),
    "code_length": Meaning("Digits of a code. A driver that carries only shorter codes uses its longest."),
    "ttl": Meaning("Lifetime of a code."),
    "max_attempts": Meaning("Attempts per verification."),
    "resend_after": Meaning("Wait before the first resend on a channel. It doubles for each further one, up to 600."),
    "max_failures": Meaning(
        "Consecutive wrong answers per phone, counted separately for signing in, for signed-in users and for second "
        "factors, and separately for [trusted devices](pages.md#trusted-devices). At the limit the phone is locked for "
        "an hour, then twice as long each time, up to 24 hours, until a success.",
    ),
    "failures_ceiling": Meaning(
        "Wrong answers without a success after which the phone stays closed until a success on a trusted device or "
        "`verifier.unlock(phone)`. NIST SP 800-63B-4 asks for 100. Off by default, because others could close a "
        "number.",
    ),
    "short_failures_per_day": Meaning(
        "Wrong answers to short codes in 24 hours, over all phones, after which short codes close for signing in; "
        "2 % of the right answers if that is more.",
    ),
    "failures_per_day": Meaning(
        "The same for longer codes; at the limit new codes have eight digits where the driver can carry them.",
    ),
    "wrong_per_hour_per_address": Meaning(
        "Wrong answers per client address and hour, over all phones, where your code passes `address` to `check`.",
    ),
    "purposes": Meaning(
        "Your own purposes. Append `:open` to those that visitors may start without signing in, and "
        "`:length=8;ttl=120` for [codes of their own](#codes-for-one-purpose), or `:require=sms+inbound_call` for "
        "[several channels](#several-channels-for-one-purpose).",
        type=_LIST,
    ),
    "sends_per_hour": Meaning("Messages per phone and hour, counted separately for trusted devices."),
    "sends_per_hour_per_address": Meaning("Messages per client address and hour (IPv6 by /64)."),
    "sends_per_hour_per_client": Meaning(
        "Messages per [OAuth client](oauth.md) or [access key](access_keys.md) and hour, in place of those per address."
    ),
    "wrong_per_hour_per_client": Meaning(
        "Wrong answers per [OAuth client](oauth.md) or [access key](access_keys.md) and hour, in place of those per "
        "address."
    ),
    "sends_per_hour_per_prefix": Meaning("Messages per hour to numbers that differ in the last four digits only."),
    "sends_per_hour_total": Meaning("Messages per hour for the whole site."),
    "webhook_secret": Meaning(
        "Secret segment of webhook URLs, [22 characters or more](#keys). With several, the first is given out and all "
        "are accepted.",
        "derived from each listed key",
    ),
    "public_url": Meaning(
        "Base URL by which providers reach this site, like `https://site.example`. It also gives the host in the last "
        "line of the SMS, and names the site in signatures. It is never taken from a request.",
        "none: inbound calls are polled, and the SMS has no `@host` line",
    ),
    "other_public_urls": Meaning(
        "Further addresses of the same site, like `https://shop-b.example`: a code that was requested on one of them "
        "names its host, so that it is filled in there. Webhooks use `PUBLIC_URL` only.",
        type=_LIST,
    ),
    "site_name": Meaning("Sender name in messages.", "the host of `PUBLIC_URL`"),
    "trusted_proxies": Meaning(
        "Number of trusted proxies. With n, the n-th address from the right of `X-Forwarded-For` is the client's. "
        "See [client addresses](production.md#client-addresses)."
    ),
    "trusted_networks": Meaning(
        "Networks of your proxies, like `10.0.0.0/8`, and `unix` for a Unix socket. The header counts only from a "
        "peer in them. Without `TRUSTED_PROXIES`, the client is the last address that is in none of them.",
        type=_LIST,
    ),
    "client_address_header": Meaning(
        "Another header with the client's address: `Forwarded`, or one that holds a single address, like "
        "`CF-Connecting-IP`, which needs `TRUSTED_NETWORKS`.",
        "`X-Forwarded-For`",
    ),
    "trusted_origins": Meaning(
        "Other origins whose pages and apps may call the API for a visitor, like `https://app.shop.example` or "
        "`capacitor://localhost`, without wildcards. See [single-page apps](single_page_apps.md).",
        "Django: the entries of `CSRF_TRUSTED_ORIGINS` without a wildcard; Flask: none",
        _LIST,
    ),
    "frame_ancestors": Meaning(
        "Sites that may show the pages in a frame: `self`, or origins like `https://partner.example`. "
        "See [frames](pages.md#frames).",
    ),
    "site_url": Meaning("Where the brand above the card leads to: a path like `/`, or an https address.", type="URL"),
    "site_logo": Meaning("Logo above the card, instead of the name. See [brand](pages.md#brand).", type="URL"),
    "site_icon": Meaning("Favicon of the pages.", type="URL"),
    "site_color": Meaning(
        "Color of buttons and links, like `#5b21b6`. It is adjusted to be readable in light and dark.", type="color"
    ),
    "site_radius": Meaning("Radius of corners, like `8px`.", type="length"),
    "site_font": Meaning("Font of the pages: a `.woff2` file.", type="URL"),
    "terms_url": Meaning("Link below the card.", type="URL"),
    "privacy_url": Meaning("Link below the card.", type="URL"),
    "help_url": Meaning('Link below "Didn\'t get a code?"; also `mailto:`.', type="URL"),
    "cost_notice": Meaning("Tell visitors below the number field that a message or call may cost them money."),
    "next_channel_after": Meaning(
        "Time since the last message or call after which the code page [offers the next channel first]"
        "(pages.md#offer-the-next-channel).",
        type="seconds, 10 to 600; 0: off",
    ),
    "next_channel_sends_by_itself": Meaning(
        "The page then sends or calls on that channel without a press, which costs you money."
    ),
    "offer_last_number": Meaning(
        "Offer visitors on a trusted device to [continue with the number](pages.md#continue-with-the-last-number) "
        "that signed in last."
    ),
    "fallbacks": Meaning(
        "Channels whose orders move to another one by themselves, as `flash_call:sms:30` (seconds, 10 to 120). "
        "See [costs](costs.md#move-to-another-channel)."
    ),
    "drivers": Meaning(
        "Dotted paths of [your own drivers](adding_a_provider.md): subclasses of `Driver` that your project contains."
    ),
    "on_event": Meaning(
        "Dotted path of a function that is called for every operation. See [events](events.md).", type="dotted path"
    ),
    "before_send": Meaning(
        "Dotted path of a function that [decides before anything is sent](before_send.md).", type="dotted path"
    ),
    "captcha_sources": Meaning(
        "Origins that the pages may load for the [widget of a captcha](before_send.md#captcha-turnstile-or-hcaptcha)."
    ),
    "texts": Meaning(
        "[Texts of messages](messages.md#own-texts) by purpose and language.",
        "our texts",
        "dict; in the environment the path of a JSON file",
    ),
    "android_hash": Meaning(
        "[Hash of your Android app](messages.md#android-sms-retriever) by purpose, like `signup=FA+9qCX9VSu`.",
        type="text",
    ),
    "test_passcodes": Meaning("[Test numbers](#test-numbers), like `+12025550123=482193@2027-01-31`."),
    "test_passcodes_in_production": Meaning("Those of the test numbers that a production site may have."),
    "staff_sign_in_by_phone": Meaning(
        "Let users with rights over other users sign in by phone alone. See [staff](#staff)."
    ),
    "notify_old_number": Meaning(
        "After a change of number, notify the old number by SMS, in the user's language and without a link. Needs an "
        "SMS driver for free text (`ssms`, `console`).",
    ),
    "routes": Meaning(
        "Rules by region and operator: [which provider carries an order](routing.md), in which order and shares.",
        "the order of the DSNs",
        "list of dicts, or the path of a YAML file",
    ),
    "fraud": Meaning(
        "[Fraud guard](fraud.md): lists of numbers, and rules over traffic. It only records until you let it refuse.",
        "no guard",
        "dict, or the path of a YAML file",
    ),
    "services": Meaning(
        "[Services](services.md) by name: sets of channels, limits and texts.",
        "none",
        "dict of dicts, or the path of a YAML or JSON file",
    ),
    "service": Meaning(
        "The [service](services.md) of the site's own pages, and of calls to the API that name none.",
        "`default`",
        "text",
    ),
    "staff_roles": Meaning("Flask: names of the roles whose holders have rights over other users."),
}

_DJANGO: Mapping[str, Meaning] = {
    "accounts": Meaning(
        "Subclass of `Accounts` that decides who may sign up and how a user is found.",
        f"`{DEFAULT_ACCOUNTS}`",
        "dotted path",
    ),
    "signup_form": Meaning("Form for new users, shown after the verification.", type="dotted path"),
    "phone_field": Meaning(
        'Field of the user model that keeps the primary number; `""` for none.',
        "the first `CharField` of " + ", ".join(f"`{name}`" for name in PHONE_FIELDS),
        "text",
    ),
    "shared_phones": Meaning("Let several users have the same number.", "`False`", "`True` or `False`"),
    "recycled_numbers": Meaning(
        "Whether a verified number moves from its user to the user who verified it last.",
        f"`{RECYCLED[0]}`",
        " or ".join(f"`{word}`" for word in RECYCLED),
    ),
    "connection_setup": Meaning(
        "Function that prepares other database connections than the one of the request. See "
        "[tenants](stores.md#django-tenants-and-roles).",
        type="dotted path",
    ),
    "token": Meaning(
        "Function of the user and the `Redeemed` that makes the site's token. See [tokens](tokens.md).",
        type="dotted path",
    ),
    "user_for_token": Meaning(
        "Function of the request and a token that returns its user, or None. See [tokens](tokens.md).",
        type="dotted path",
    ),
    "alarm_emails": Meaning("Addresses that get the [alarms](ledger.md#alarms) of the ledger.", "`ADMINS`", _LIST),
    "oauth_grants": Meaning(
        "Names of the grant of [django-oauth-toolkit](oauth.md#django), and the clients that may use each.", type="dict"
    ),
}


def settings_table() -> str:
    """Return the settings of every site: environment, Django and Flask."""
    return table(("setting", "meaning", "type and range", "default"), _rows())


def django_settings_table() -> str:
    """Return the settings that exist only in Django's `PHONE_VERIFY`."""
    if set(_DJANGO) != set(NAMES):
        raise ValueError(f"docsite/settings_table.py describes other Django settings than {NAMES}")
    rows = [(f"`{name}`", meaning.text, meaning.type, meaning.default) for name, meaning in _DJANGO.items()]
    return table(("setting", "meaning", "type", "default"), rows)


def _rows() -> Iterator[Sequence[str]]:
    if set(MEANINGS) != set(KNOWN) - set(CHANNEL_NAMES):
        raise ValueError("docsite/settings_table.py describes other settings than those of the code")
    channels = ", ".join(f"`{name.upper()}`" for name in CHANNEL_NAMES)
    yield channels, "DSNs for this channel, separated by white space, in order of failover.", "DSNs", "none"
    defaults = _defaults()
    for name, meaning in MEANINGS.items():
        default = defaults.get(name)
        yield f"`{name.upper()}`", meaning.text, _type(name, meaning, default), _written(default) or meaning.default


def _defaults() -> Mapping[str, object]:
    settings = Settings.from_mapping({})
    policy = {field.name: getattr(settings.policy, field.name) for field in fields(Policy)}
    own = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    brand = {name: getattr(settings.brand, field) for name, field in BRAND_FIELDS.items()}
    return {**own, **policy, **brand, "purposes": ()}


def _type(name: str, meaning: Meaning, default: object) -> str:
    if meaning.type:
        return meaning.type
    unit = "seconds" if isinstance(default, timedelta) else "number"
    if name in RANGES:
        low, high = map(_plain, RANGES[name])
        return f"{unit}, {low} to {high}"
    if name in COUNTS:
        return f"{unit}; 0: no limit"
    match default:
        case bool():
            return "`True` or `False`; in the environment `1` or `0`"
        case int():
            return f"{unit}, 0 or more"
        case str() | None:
            return "text"
        case _:
            return _LIST


def _written(default: object) -> str:
    match default:
        case None | "" | () | [] | BackgroundSettings():
            return ""
        case Mapping() if not default:
            return ""
        case list() | tuple():
            return f"`{','.join(default)}`"
        case timedelta():
            return str(_plain(default))
        case bool():
            return f"`{default}`"
        case _:
            return str(default)


def _plain(value: object) -> str:
    return f"{value.total_seconds():.0f}" if isinstance(value, timedelta) else str(value)
