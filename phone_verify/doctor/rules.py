"""Checks of the settings that need no store or provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import cache
from itertools import combinations
from urllib.parse import urlsplit

from ..codes import DRAW_WEBHOOK_SECRET, weakness_of_key
from ..config.proxies import load_proxies
from ..config.settings import KNOWN, PREFIX, missing_channel
from ..drivers.base import Driver, Polls, ReadsWebhooks, SendsNotices
from ..drivers.options import is_loopback
from ..errors import ConfigurationError
from ..model import Channel, CodeSource
from ..phone import PhoneKind, PhoneNumber, shared_plans
from ..policy import SHORT_ATTEMPTS, SHORT_BELOW, SHORT_FAILURES, SHORT_LIFE, Policy
from ..test_numbers import TestNumber, load_test_numbers
from .finding import Finding, Level
from .loader import WRITE_A_KEY, Reading, fault, sentence, setting, unknown
from .messages import messages
from .origins import origins

_WRITE_A_SEGMENT = f"Set it to the output of: {DRAW_WEBHOOK_SECRET}"

#: The mount point in the documentation, used if no framework reports the actual one.
_USUAL_MOUNT = "/phone"

#: How to configure a framework behind a proxy that ends TLS.
_PROXY_ADVICE = {
    "Django": "Django: SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https'), if your proxy sets that header.",
    "Flask": "Flask: app.wsgi_app = ProxyFix(app.wsgi_app, x_for=0, x_proto=1), from werkzeug.middleware.proxy_fix.",
}

#: What a send limit of 0 means.
_UNLIMITED = {
    "sends_per_hour": "one phone can be sent unlimited messages and calls",
    "sends_per_hour_per_address": "one client address can request unlimited messages",
    "sends_per_hour_per_client": "one OAuth client can request unlimited messages",
    "sends_per_hour_per_prefix": "one range of numbers can be sent unlimited messages, as in SMS-pumping fraud",
    "sends_per_hour_total": "the bill has no upper limit, so an attack can cost any amount",
}


def _misspelt(reading: Reading) -> Iterator[Finding]:
    """Report environment variables with our prefix that are not settings."""
    for variable in sorted(reading.given.environ):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in KNOWN:
            yield unknown(name, Level.WARNING)


def _channels(reading: Reading) -> Iterator[Finding]:
    settings = reading.settings
    if (missing := missing_channel(reading.given.values, reading.given.environ)) is not None:
        yield Finding(Level.ERROR, "", f"{sentence(missing.problem)}.", missing.advice, id="PV201")
    for channel in settings.channels:
        if channel not in reading.written:
            says = f"It names {channel}, but no driver is configured for it."
            advice = f"Set {setting(channel)} to the DSN of a provider, or remove {channel}."
            yield Finding(Level.ERROR, setting("channels"), says, advice, id="PV202")
    for purpose, required in settings.policy.required_channels.items():
        for channel in required:
            if channel not in reading.written:
                says = f"{purpose} requires {channel}, but no driver is configured for it."
                advice = f"Set {setting(channel)} to the DSN of a provider, or remove {channel} from {purpose}."
                yield Finding(Level.ERROR, setting("purposes"), says, advice, id="PV211")
    if reading.drivers:
        ways = (f"{channel.label} by {_names(reading.drivers[channel])}" for channel in reading.offered)
        yield Finding(Level.OK, "", f"Channels offered, in this order: {'; '.join(ways)}.", id="PV203")
    for channel in reading.drivers:
        if channel not in reading.offered:
            says = f"It omits {channel}, which is configured: it is used only if requested by name."
            yield Finding(Level.NOTE, setting("channels"), says, id="PV204")


def _names(drivers: Sequence[Driver]) -> str:
    return ", then ".join(driver.name for driver in drivers)


def _practice(reading: Reading) -> Iterator[Finding]:
    here = {name: driver for name, driver in reading.by_name.items() if driver.is_local}
    if here:
        level = Level.WARNING if reading.given.production else Level.NOTE
        names = dict.fromkeys(reading.settings_of(driver) for driver in here.values())
        says = f"Development only: messages by {', '.join(here)} stay on this machine and reach no phone."
        yield Finding(
            level, " and ".join(names), says, "Set it to the DSN of a provider before going live.", id="PV205"
        )


def _short_codes(reading: Reading) -> Iterator[Finding]:
    planner = reading.planner
    ways = [(channel, driver) for channel, carriers in reading.drivers.items() for driver in carriers]
    plans = [planner.plan(driver, channel, "login") for channel, driver in ways]
    limits = f"{SHORT_ATTEMPTS} attempts and {SHORT_LIFE.total_seconds():.0f} seconds"
    if plans and all(plan.short for plan in plans):
        says = (
            f"All channels use short codes: every code has fewer than {SHORT_BELOW} digits, or an unknown "
            f"length. They are easier to guess, so each has {limits}, and {SHORT_FAILURES} wrong answers in a row "
            "lock verification of that number for an hour."
        )
        name, advice = (
            " and ".join(setting(channel) for channel in reading.drivers),
            f"Add a channel with {SHORT_BELOW}",
        )
        if reading.settings.policy.code_length < SHORT_BELOW:
            name, advice = (
                setting("code_length"),
                f"Set {setting('code_length')}={SHORT_BELOW}, or add a channel with more",
            )
        advice = f"{advice} digits, or incoming calls: `phone-verify drivers` lists them."
        yield Finding(Level.WARNING, name, says, advice, id="PV206")
        return
    for (channel, driver), plan in zip(ways, plans, strict=True):
        if plan.short:
            length = f"{plan.code_length} digits" if plan.code_length else "a length that the provider chooses"
            says = f"{driver.name} uses codes of {length}: each has {limits}."
            yield Finding(Level.NOTE, setting(channel), says, id="PV207")
    for purpose, own in reading.settings.purposes.limits.items():
        if own.code_length is not None and own.code_length < SHORT_BELOW:
            says = f"Codes of {purpose} have {own.code_length} digits: each has {limits}."
            yield Finding(Level.NOTE, setting("purposes"), says, id="PV210")


def _keys(reading: Reading) -> Iterator[Finding]:
    settings, framework = reading.settings, reading.given.framework
    if not reading.keys and not framework:
        says = (
            "Not set. A Django or Flask site then signs with its SECRET_KEY: select the site with --django or "
            "--flask to check that key. Other programs must set keys here."
        )
        yield Finding(Level.WARNING, setting("secret_keys"), says, WRITE_A_KEY, id="PV303")
    if reading.keyring is not None:
        source = setting("secret_keys") if settings.secret_keys else f"{framework}'s own SECRET_KEY"
        counted = "One key signs" if len(reading.keys) == 1 else f"{len(reading.keys)} keys are listed, the first signs"
        yield Finding(Level.OK, "", f"{counted}: {source}.", id="PV304")
    if settings.secret_keys:
        yield from _frameworks_own_keys(reading)
    if len(reading.keys) > 1 and settings.tag_key is None:
        says = (
            "Not set, although several secret keys are listed: removing the last of them loses the counters and "
            "verifications of every phone."
        )
        advice = "Set it to the last of the secret keys before you shorten that list."
        yield Finding(Level.WARNING, setting("tag_key"), says, advice, id="PV306")


def _frameworks_own_keys(reading: Reading) -> Iterator[Finding]:
    """Report weak keys of the framework in addition to this library's secret keys: its sessions
    still depend on them.
    """
    try:
        keys = reading.given.framework_keys()
    except ConfigurationError:  # the framework does not start without a key, and reports it itself
        return
    for key in keys:
        if weakness := weakness_of_key(key, production=reading.given.production):
            says = f"It signs the sessions of {reading.given.framework}: {weakness}."
            yield Finding(Level.WARNING, "SECRET_KEY", says, WRITE_A_KEY, id="PV305")
            return


def _public_url(reading: Reading) -> Iterator[Finding]:
    name, url = setting("public_url"), reading.settings.public_url
    if url is None:
        if "public_url" not in reading.written:
            says = (
                'Not set: SMS messages lack the "@host #code" line that enables autofill, and providers cannot call '
                "webhooks. Incoming calls are polled instead, if the provider supports it."
            )
            yield Finding(Level.WARNING, name, says, f"Set {name}=https://your.site", id="PV401")
        return
    host = urlsplit(url).hostname or ""
    if is_loopback(host) or host.endswith(".localhost"):
        says = "It is this machine: providers and other visitors cannot reach it."
        yield Finding(Level.NOTE, name, says, id="PV402")
    elif url.startswith("http:"):
        says = "It is plain HTTP: numbers, codes and session cookies can be read in transit."
        yield Finding(Level.ERROR, name, says, f"Set {name}=https://{url.removeprefix('http://')}", id="PV403")
    elif (reading.settings.trusted_proxies or reading.settings.trusted_networks) and not reading.given.detects_https():
        says = "If your proxy terminates TLS, the framework must detect https, or cookies get no __Host- prefix."
        advice = _PROXY_ADVICE.get(reading.given.framework, " ".join(_PROXY_ADVICE.values()))
        yield Finding(Level.NOTE, name, says, advice, id="PV404")


def _webhooks(reading: Reading) -> Iterator[Finding]:
    settings, name = reading.settings, setting("webhook_secret")
    for driver in reading.by_name.values():
        if not isinstance(driver, ReadsWebhooks):
            continue
        alone = driver in reading.drivers.get(Channel.INBOUND_CALL, ()) and not isinstance(driver, Polls)
        if alone and "webhook_secret" not in reading.written:
            says = (
                f"Not set, and {driver.name} reports calls by webhook only. The secret in the webhook URL is then "
                "derived from the secret keys, and changes with them."
            )
            yield Finding(Level.WARNING, name, says, _WRITE_A_SEGMENT, id="PV405")
        if settings.public_url is not None:
            yield _webhook(reading, driver, alone=alone)
        elif alone:
            says = f"Without it the webhook URL to set at {driver.name} is unknown."
            yield Finding(
                Level.WARNING, setting("public_url"), says, f"Set {setting('public_url')}=https://your.site", id="PV406"
            )


def _one_account(reading: Reading) -> Iterator[Finding]:
    """Report drivers of one account: the provider's webhooks reach only one of them."""
    for one, other in combinations(reading.by_name.values(), 2):
        if type(one) is not type(other) or one.base_url != other.base_url:
            continue
        calls = [driver for driver in (one, other) if driver in reading.drivers.get(Channel.INBOUND_CALL, ())]
        names = dict.fromkeys([*reading.settings_of(one).split(" and "), *reading.settings_of(other).split(" and ")])
        advice = "Remove one of the DSNs."
        if len(names) > 1:
            advice = f"Use the same DSN text in {' and '.join(names)}: the same text is one driver."
        if one.credentials == other.credentials:
            says = f"{one.name} and {other.name} are two drivers of one account: their DSNs have the same credential."
        elif calls and not isinstance(one, Polls) and one.credentials.keys() != other.credentials.keys():
            says = (
                f"{one.name} and {other.name} may be two drivers of one account, by its key and by its login. "
                f"Calls must then be reported to {calls[0].name}."
            )
        else:
            continue
        yield Finding(Level.WARNING, " and ".join(names), says, advice, id="PV411")


def _webhook(reading: Reading, driver: Driver, *, alone: bool) -> Finding:
    """Report the webhook URL for this driver's provider."""
    known = reading.settings.webhook_secret or (reading.keyring.webhook_secrets if reading.keyring else ())
    secret = known[0] if known and reading.show_webhook_urls else "SECRET"
    path = f"{_USUAL_MOUNT}/webhooks/{driver.name}/{secret}"
    if reading.given.webhook_path is not None:
        try:
            path = reading.given.webhook_path(driver.name, secret)
        except ConfigurationError as error:
            return Finding(Level.ERROR, setting("public_url"), f"The webhook URL is unknown: {error}.", id="PV408")
    says = f"{driver.name} can report by webhook (optional)."
    if alone:
        says = f"{driver.name} reports calls by webhook only: set the webhook URL in the provider's account."
    advice = f"Webhook URL: {reading.settings.public_url}{path}"
    advice += "" if reading.given.webhook_path else f" (if the site is mounted at {_USUAL_MOUNT}/)"
    if not known:
        advice += f" (SECRET is the value of {setting('webhook_secret')})"
    elif not reading.show_webhook_urls:
        advice += " (--show-webhook-urls shows the SECRET)"
    return Finding(Level.NOTE, reading.settings_of(driver), says, advice, id="PV407")


def _regions(reading: Reading) -> Iterator[Finding]:
    policy = reading.settings.policy
    if not reading.drivers:
        return
    mobiles = _mobiles()
    reached = {
        region for region, phone in mobiles.items() if any(each.reaches(phone) for each in reading.by_name.values())
    }
    few = ",".join(sorted(reached)) if len(reached) < len(mobiles) else ""
    if "region" not in reading.written:
        says = "Not set: visitors must enter numbers with + and the country code."
        advice = f"Set {setting('region')}={few.partition(',')[0] or 'IR'}, so visitors can omit the country code."
        yield Finding(Level.NOTE, setting("region"), says, advice, id="PV501")
    if "allowed_regions" not in reading.written:
        says = "Not set: messages can be sent to any country, which invites SMS-pumping fraud."
        if few:
            says = (
                f"Not set. Your drivers reach {few} only, so other countries are refused now; with another driver "
                "messages could be sent to any country, which invites SMS-pumping fraud."
            )
        advice = f"Set {setting('allowed_regions')}={few or 'IR,RU'}, or the regions of your visitors."
        yield Finding(Level.WARNING, setting("allowed_regions"), says, advice, id="PV502")
    allowed = policy.allowed_regions
    if allowed is not None and (unreached := sorted(allowed - reached)):
        says = f"It allows {', '.join(unreached)}, where no configured driver reaches a mobile."
        yield Finding(
            Level.WARNING, setting("allowed_regions"), says, "Add a driver for them, or remove them.", id="PV503"
        )
    if allowed is None and policy.region is not None and policy.region not in reached:
        says = f"It is {policy.region}, where no configured driver reaches a mobile."
        yield Finding(Level.WARNING, setting("region"), says, "Add a driver for it, or change it.", id="PV508")
    yield from _not_delivered(reading)
    if allowed is not None:
        yield from _shared_plans(allowed)
    if allowed is not None and policy.region is not None and policy.region not in allowed:
        says = f"It is {policy.region}, which {setting('allowed_regions')} does not allow: such numbers are refused."
        yield Finding(
            Level.WARNING, setting("region"), says, f"Add {policy.region} to {setting('allowed_regions')}.", id="PV504"
        )


def _not_delivered(reading: Reading) -> Iterator[Finding]:
    """Report the site's regions in which a provider delivers nothing."""
    policy, mobiles = reading.settings.policy, _mobiles()
    wanted = {policy.region} | (policy.allowed_regions or frozenset())
    for driver in reading.by_name.values():
        # The simulator delivers everywhere.
        for region in sorted(driver.unserved_regions & wanted) if not driver.is_local else ():
            others = [
                other.name
                for carriers in reading.drivers.values()
                for other in carriers
                if driver in carriers and region not in other.unserved_regions and other.reaches(mobiles[region])
            ]
            says = f"{driver.provider} delivers nothing to numbers of {region}, which this site serves."
            advice = f"Set a driver for {region} before {driver.name}, or remove {region}: see choosing a provider."
            if others:
                rest = ", ".join(dict.fromkeys(others))
                says, advice = f"{says} {rest} can.", f"Keep {driver.name} behind it in the list."
            level = Level.NOTE if others else Level.WARNING
            yield Finding(level, reading.settings_of(driver), says, advice, id="PV507")


def _shared_plans(allowed: Set[str]) -> Iterator[Finding]:
    """Report regions whose numbers people take for those of an allowed region."""
    for plan in shared_plans():
        inside, outside = sorted(plan & allowed), sorted(plan - allowed)
        if inside and outside:
            says = (
                f"It allows {', '.join(inside)}, and not {', '.join(outside)} of the same numbering plan: their "
                "numbers look alike to visitors, and are refused."
            )
            advice = (
                "Add those you serve, and compare your provider's prices first: some cost many times more, and "
                "SMS-pumping fraud uses them."
            )
            yield Finding(Level.NOTE, setting("allowed_regions"), says, advice, id="PV506")


@cache
def _mobiles() -> Mapping[str, PhoneNumber]:
    """Return a sample mobile number of each region. Nothing is sent to any."""
    from phonenumbers import SUPPORTED_REGIONS, PhoneNumberType, example_number_for_type

    examples = {region: example_number_for_type(region, PhoneNumberType.MOBILE) for region in SUPPORTED_REGIONS}
    return {
        region: PhoneNumber(f"+{example.country_code}{example.national_number}")
        for region, example in examples.items()
        if example is not None
    }


def _limits(reading: Reading) -> Iterator[Finding]:
    for name, means in _UNLIMITED.items():
        if getattr(reading.settings.policy, name) == 0:
            says = f"It is 0, which means no limit: {means}."
            advice = f"Set {setting(name)}={getattr(Policy(), name)}, or the value that the site needs."
            yield Finding(Level.WARNING, setting(name), says, advice, id="PV505")


def _proxies(reading: Reading) -> Iterator[Finding]:
    try:
        proxies = load_proxies(reading.settings)
    except ConfigurationError as error:
        yield fault("client_address_header", error)
        return
    n, header = proxies.count, reading.settings.client_address_header or "X-Forwarded-For"
    if not proxies.are_trusted:
        says = (
            "0: the client address is the TCP peer. Behind a proxy or load balancer, all visitors share one rate limit."
        )
        advice = f"Set it to the number of your proxies in front of the site, or set {setting('trusted_networks')}."
        yield Finding(Level.NOTE, setting("trusted_proxies"), says, advice, id="PV409")
    elif n:
        says = f"{n}: the client address is number {n} from the right in {header}."
        if not proxies.are_named:
            says += " If fewer proxies of yours are in front of the site, clients can forge their address."
        yield Finding(Level.NOTE, setting("trusted_proxies"), says, id="PV410")
    else:
        which = "the last one outside these networks" if proxies.is_chain else "the only one"
        says = f"The client address is {which} in {header}, which counts only from a peer in these networks."
        yield Finding(Level.NOTE, setting("trusted_networks"), says, id="PV410")


def _test_numbers(reading: Reading) -> Iterator[Finding]:
    settings, name = reading.settings, setting("test_passcodes")
    today = datetime.now(UTC).date()
    for n, entry in enumerate(settings.test_passcodes, 1):
        try:
            codes = load_test_numbers(
                [entry], settings.test_passcodes_in_production, production=reading.given.production, today=today
            )
        except ConfigurationError as error:
            yield fault("test_passcodes", error, which=f"Entry {n}: ", id="PV801")
            continue
        for phone, fixed in codes.items():
            says = f"{phone.hint} has a fixed code until the end of {fixed.last_day}: anyone who knows it can sign in."
            yield Finding(Level.WARNING, name, says, "Remove it when the review has finished.", id="PV802")
            yield from _unserved(reading, fixed)
        if not codes:
            yield Finding(
                Level.NOTE,
                name,
                f"Entry {n} has expired: its number is an ordinary one again.",
                "Remove it.",
                id="PV803",
            )


def _unserved(reading: Reading, fixed: TestNumber) -> Iterator[Finding]:
    """Report a test number whose code no channel accepts, with the reason."""
    phone, allowed = fixed.phone, reading.settings.policy.allowed_regions
    router, planner, regions = reading.router, reading.planner, setting("allowed_regions")
    routes = {channel: route for channel in reading.drivers if (route := router.route(channel, phone))}
    plans = [planner.plan(route[0], channel, "login") for channel, route in routes.items()]
    lengths = {plan.code_length or 0 for plan in plans if plan.code_source is CodeSource.LOCAL}
    says = ""
    if phone.kind is PhoneKind.REFUSED:
        says, advice = "numbers of this kind are refused", "Use a mobile number."
    elif allowed is not None and phone.region not in allowed:
        says = f"{regions} does not allow its region, {phone.region}"
        advice = f"Add {phone.region} to {regions}, or use a number of an allowed region."
    elif not routes:
        says = f"no configured driver reaches it ({phone.region})"
        advice = "Use a number that a driver reaches, or add a driver that reaches this one."
    elif not any(plan.fits(fixed.code) for plan in plans):
        says = f"in no channel does the first driver that reaches it send this site's codes of {len(fixed.code)} digits"
        advice = "Put a driver first that sends the site's codes: `phone-verify drivers` lists them."
        if good := sorted(length for length in lengths if length >= SHORT_BELOW):
            advice = f"Use a code of {' or '.join(map(str, good))} digits for it."
    if says and reading.drivers:
        says = f"{phone.hint} cannot be verified by its code: {says}."
        yield Finding(Level.WARNING, setting("test_passcodes"), says, advice, id="PV804")


def _staff(reading: Reading) -> Iterator[Finding]:
    if reading.settings.staff_sign_in_by_phone:
        says = (
            "On: staff users can sign in with a code sent to their phone, without a password. "
            "A SIM swap, or a message that someone else reads, then gives access to their account."
        )
        advice = "Remove it. Staff then sign in with a password, with the phone as second factor."
        yield Finding(Level.WARNING, setting("staff_sign_in_by_phone"), says, advice, id="PV805")


def _notices(reading: Reading) -> Iterator[Finding]:
    if reading.settings.notify_old_number and not any(
        isinstance(driver, SendsNotices) for driver in reading.drivers.get(Channel.SMS, ())
    ):
        says = "On, but no SMS driver can send a text without a code: the old number gets no message."
        yield Finding(
            Level.WARNING,
            setting("notify_old_number"),
            says,
            f"Add ssms to {setting('sms')}, or remove this setting.",
            id="PV208",
        )


RULES: Sequence[Callable[[Reading], Iterator[Finding]]] = (
    _misspelt,
    _channels,
    _practice,
    _short_codes,
    _keys,
    _public_url,
    _webhooks,
    _one_account,
    _regions,
    _limits,
    messages,
    origins,
    _proxies,
    _test_numbers,
    _staff,
    _notices,
)
