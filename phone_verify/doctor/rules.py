"""What can be said of settings without asking anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ..codes import DRAW_WEBHOOK_SECRET, weakness_of_key
from ..config.settings import CHANNEL_NAMES, KNOWN, PREFIX
from ..drivers.base import Driver, Polls, ReadsWebhooks, SendsNotices
from ..drivers.options import is_loopback
from ..errors import ConfigurationError
from ..i18n.languages import LANGUAGES
from ..i18n.texts import message_writer
from ..model import Channel, CodeSource
from ..phone import PhoneKind, PhoneNumber
from ..policy import SHORT_ATTEMPTS, SHORT_BELOW, SHORT_FAILURES, SHORT_LIFE, Policy
from ..segments import segments
from ..test_numbers import TestNumber, load_test_numbers
from .finding import Finding, Level
from .loader import WRITE_A_KEY, Reading, fault, setting, unknown

_WRITE_A_SEGMENT = f"Write the output of: {DRAW_WEBHOOK_SECRET}"

#: Where the documentation mounts the site's pages: told where no framework says where they are.
_USUAL_MOUNT = "/phone"

#: Texts in Persian, Russian and Arabic take two at best, with the origin-bound line.
_MANY_SEGMENTS = 2

#: How to configure a framework behind a proxy that ends TLS.
_PROXY_ADVICE = {
    "Django": "Django: SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https'), if your proxy sets that header.",
    "Flask": "Flask: app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1), from werkzeug.middleware.proxy_fix.",
}

#: What it means that a limit of sends is 0.
_UNLIMITED = {
    "sends_per_hour": "one phone may be sent messages and calls without end",
    "sends_per_hour_per_address": "one visitor's address may ask for messages without end",
    "sends_per_hour_per_prefix": "one range of numbers may be sent messages without end, as pumping fraud does",
    "sends_per_hour_total": "the site's bill has no bound: an attack costs whatever it takes",
}


def _misspelt(reading: Reading) -> Iterator[Finding]:
    """Variables of the environment that look like ours and that nobody reads."""
    for variable in sorted(reading.given.environ):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in KNOWN:
            yield unknown(name, Level.WARNING)


def _channels(reading: Reading) -> Iterator[Finding]:
    settings = reading.settings
    if reading.written.isdisjoint(CHANNEL_NAMES):
        says = "No channel is configured: no number can be verified, and every start is answered with 503."
        advice = f"Write {setting('sms')}=console:// for development, or the DSN of a provider, which "
        yield Finding(Level.ERROR, "", says, advice + "`phone-verify drivers` shows.")
    for channel in settings.channels:
        if channel not in reading.written:
            says = f"It names {channel}, and no driver carries it."
            advice = f"Write {setting(channel)}=the DSN of a provider, or leave {channel} out."
            yield Finding(Level.ERROR, setting("channels"), says, advice)
    if reading.drivers:
        ways = (f"{channel} by {_names(reading.drivers[channel])}" for channel in reading.offered)
        yield Finding(Level.OK, "", f"Visitors are offered, in this order: {'; '.join(ways)}.")
    for channel in reading.drivers:
        if channel not in reading.offered:
            says = f"It leaves out {channel}, which is configured: it serves only where it is asked for by name."
            yield Finding(Level.NOTE, setting("channels"), says)


def _names(drivers: Sequence[Driver]) -> str:
    return ", then ".join(driver.name for driver in drivers)


def _practice(reading: Reading) -> Iterator[Finding]:
    here = {name: driver for name, driver in reading.by_name.items() if driver.is_local}
    if here:
        level = Level.WARNING if reading.given.production else Level.NOTE
        names = dict.fromkeys(reading.settings_of(driver) for driver in here.values())
        says = f"For development only: what {', '.join(here)} would send stays on this machine and reaches no phone."
        yield Finding(
            level, " and ".join(names), says, "Write the DSN of a provider, before the site meets its visitors."
        )


def _short_codes(reading: Reading) -> Iterator[Finding]:
    planner = reading.planner
    ways = [(channel, driver) for channel, carriers in reading.drivers.items() for driver in carriers]
    plans = [planner.plan(driver, channel) for channel, driver in ways]
    limits = f"{SHORT_ATTEMPTS} tries and {SHORT_LIFE.total_seconds():.0f} seconds"
    if plans and all(plan.short for plan in plans):
        says = (
            f"Short codes are the only channel: every code has fewer than {SHORT_BELOW} digits, or as many as only the "
            f"provider knows. They are easier to guess, so each has {limits}, and after {SHORT_FAILURES} wrong answers "
            "in a row nobody can verify that number for an hour."
        )
        name, advice = (
            " and ".join(setting(channel) for channel in reading.drivers),
            f"Add a channel with {SHORT_BELOW}",
        )
        if reading.settings.policy.code_length < SHORT_BELOW:
            name, advice = setting("code_length"), f"Write {setting('code_length')}={SHORT_BELOW}, or add one with more"
        advice = f"{advice} digits, or an incoming call: `phone-verify drivers` shows who carries them."
        yield Finding(Level.WARNING, name, says, advice)
        return
    for (channel, driver), plan in zip(ways, plans, strict=True):
        if plan.short:
            length = f"{plan.code_length} digits" if plan.code_length else "as many digits as the provider chooses"
            says = f"{driver.name} carries codes of {length}: each has {limits}."
            yield Finding(Level.NOTE, setting(channel), says)


def _keys(reading: Reading) -> Iterator[Finding]:
    settings, framework = reading.settings, reading.given.framework
    if not reading.keys and not framework:
        says = (
            "It is not set. A Django or Flask site then signs with its own SECRET_KEY: name the site by --django or "
            "--flask to have that examined. Anything else needs keys here."
        )
        yield Finding(Level.WARNING, setting("secret_keys"), says, WRITE_A_KEY)
    if reading.keyring is not None:
        source = setting("secret_keys") if settings.secret_keys else f"{framework}'s own SECRET_KEY"
        counted = "One key signs" if len(reading.keys) == 1 else f"{len(reading.keys)} keys are listed, the first signs"
        yield Finding(Level.OK, "", f"{counted}: {source}.")
    if settings.secret_keys:
        yield from _frameworks_own_keys(reading)
    if len(reading.keys) > 1 and settings.tag_key is None:
        says = (
            "It is not set while several secret keys are listed: on the day the last of them is dropped, the counters "
            "and verifications of every phone are lost."
        )
        advice = "Write there what is now the last of the secret keys, before you first shorten that list."
        yield Finding(Level.WARNING, setting("tag_key"), says, advice)


def _frameworks_own_keys(reading: Reading) -> Iterator[Finding]:
    """Report weak keys of the framework next to secret keys of this library: its sessions still rest on them."""
    try:
        keys = reading.given.framework_keys()
    except ConfigurationError:  # the framework does not start without a key, and says so itself
        return
    for key in keys:
        if weakness := weakness_of_key(key, production=reading.given.production):
            says = f"It signs the sessions of {reading.given.framework}: {weakness}."
            yield Finding(Level.WARNING, "SECRET_KEY", says, WRITE_A_KEY)
            return


def _public_url(reading: Reading) -> Iterator[Finding]:
    name, url = setting("public_url"), reading.settings.public_url
    if url is None:
        if "public_url" not in reading.written:
            says = (
                "It is not set: an SMS has no last line @host, by which phones fill the code in on this site and no "
                "other, and no provider is given an address to report to. Incoming calls are asked after instead, "
                "where the provider can be asked."
            )
            yield Finding(Level.WARNING, name, says, f"Write {name}=https://your.site")
        return
    host = urlsplit(url).hostname or ""
    if is_loopback(host) or host.endswith(".localhost"):
        says = "It is this machine: no provider reaches it, and no visitor from elsewhere."
        yield Finding(Level.NOTE, name, says)
    elif url.startswith("http:"):
        says = "It is plain HTTP: numbers, codes and the cookies of who has signed in can be read on the way."
        yield Finding(Level.ERROR, name, says, f"Write {name}=https://{url.removeprefix('http://')}")
    elif reading.settings.trusted_proxies:
        says = "Where your proxy ends TLS, the framework must know of https, or cookies get no __Host- prefix."
        advice = _PROXY_ADVICE.get(reading.given.framework, " ".join(_PROXY_ADVICE.values()))
        yield Finding(Level.NOTE, name, says, advice)


def _webhooks(reading: Reading) -> Iterator[Finding]:
    settings, name = reading.settings, setting("webhook_secret")
    for driver in reading.by_name.values():
        if not isinstance(driver, ReadsWebhooks):
            continue
        alone = driver in reading.drivers.get(Channel.INBOUND_CALL, ()) and not isinstance(driver, Polls)
        if alone and "webhook_secret" not in reading.written:
            says = (
                f"It is not set, and {driver.name} tells of calls by webhook only. The secret in the address that "
                "stands in the provider's cabinet is then derived from the secret keys, and dies with them."
            )
            yield Finding(Level.WARNING, name, says, _WRITE_A_SEGMENT)
        if settings.public_url is not None:
            yield _webhook(reading, driver, alone=alone)
        elif alone:
            says = f"Without it nobody can tell which address to write into the cabinet of {driver.name}."
            yield Finding(
                Level.WARNING, setting("public_url"), says, f"Write {setting('public_url')}=https://your.site"
            )


def _webhook(reading: Reading, driver: Driver, *, alone: bool) -> Finding:
    """Where this driver's provider reports to."""
    known = reading.settings.webhook_secret or (reading.keyring.webhook_secrets if reading.keyring else ())
    secret = known[0] if known and reading.show_webhook_urls else "SECRET"
    path = f"{_USUAL_MOUNT}/webhooks/{driver.name}/{secret}"
    if reading.given.webhook_path is not None:
        try:
            path = reading.given.webhook_path(driver.name, secret)
        except ConfigurationError as error:
            return Finding(Level.ERROR, setting("public_url"), f"Providers cannot be told where to report: {error}.")
    says = f"{driver.name} can report by webhook, and works without."
    if alone:
        says = f"{driver.name} tells of calls by webhook only: its address must stand in the provider's cabinet."
    advice = f"The address: {reading.settings.public_url}{path}"
    advice += "" if reading.given.webhook_path else f" (if the site is mounted at {_USUAL_MOUNT}/)"
    if not known:
        advice += f" (SECRET is what you write in {setting('webhook_secret')})"
    elif not reading.show_webhook_urls:
        advice += " (--show-webhook-urls shows the SECRET)"
    return Finding(Level.NOTE, reading.settings_of(driver), says, advice)


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
        says = "It is not set: visitors must type numbers with + and the country code."
        advice = f"Write {setting('region')}={few.partition(',')[0] or 'IR'}, so that they may type them as at home."
        yield Finding(Level.NOTE, setting("region"), says, advice)
    if "allowed_regions" not in reading.written:
        says = "It is not set: anybody may have messages sent to any country, and some earn on each (pumping fraud)."
        if few:
            says = (
                f"It is not set. Your drivers reach {few} only, so others are refused today; with the next driver "
                "anybody may have messages sent to any country, and some earn on each (pumping fraud)."
            )
        advice = f"Write {setting('allowed_regions')}={few or 'IR,RU'}, or wherever your visitors are."
        yield Finding(Level.WARNING, setting("allowed_regions"), says, advice)
    allowed = policy.allowed_regions
    if allowed is not None and (unreached := sorted(allowed - reached)):
        says = f"It allows {', '.join(unreached)}, where no configured driver reaches a mobile."
        yield Finding(Level.WARNING, setting("allowed_regions"), says, "Add a driver for them, or leave them out.")
    if allowed is not None and policy.region is not None and policy.region not in allowed:
        says = f"It is {policy.region}, which {setting('allowed_regions')} does not allow: such numbers are refused."
        yield Finding(Level.WARNING, setting("region"), says, f"Add {policy.region} to {setting('allowed_regions')}.")


def _mobiles() -> Mapping[str, PhoneNumber]:
    """A mobile number of each region, by the region. Nothing is sent to any."""
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
            says = f"It is 0, which is no limit: {means}."
            advice = f"Write {setting(name)}={getattr(Policy(), name)}, or what the site needs."
            yield Finding(Level.WARNING, setting(name), says, advice)


def _segments(reading: Reading) -> Iterator[Finding]:
    """What one message costs: operators count segments, and a longer name or host takes one more."""
    settings, drivers = reading.settings, reading.drivers.get(Channel.SMS, ())
    if not any(driver.abilities[Channel.SMS].holder is CodeSource.LOCAL for driver in drivers):
        return
    host = urlsplit(settings.public_url).hostname if settings.public_url else None
    write = message_writer(settings.site_name, host)
    code = "0" * settings.policy.code_length
    takes = {tag: segments(write(Channel.SMS, code, settings.policy.ttl, tag)).count for tag in LANGUAGES}
    counted = ", ".join(f"{tag} {count}" for tag, count in takes.items())
    says = f"One SMS with our text takes so many segments, each of which is paid: {counted}."
    if max(takes.values()) > _MANY_SEGMENTS:
        advice = f"Write a shorter {setting('site_name')}; the host of {setting('public_url')} counts too."
        yield Finding(Level.WARNING, setting("site_name"), says, advice)
    else:
        yield Finding(Level.NOTE, "", says)


def _proxies(reading: Reading) -> Iterator[Finding]:
    n, name = reading.settings.trusted_proxies, setting("trusted_proxies")
    if n == 0:
        says = (
            "It is 0: a visitor's address is that of whoever connects. Behind a proxy or load balancer that is the "
            "proxy, and all visitors share one limit of sends."
        )
        yield Finding(Level.NOTE, name, says, "Write how many proxies of yours stand before the site.")
    else:
        says = (
            f"It is {n}: the address counts that is number {n} from the right in X-Forwarded-For. If fewer proxies of "
            "yours stand before the site, visitors choose their address themselves."
        )
        yield Finding(Level.NOTE, name, says)


def _test_numbers(reading: Reading) -> Iterator[Finding]:
    settings, name = reading.settings, setting("test_passcodes")
    today = datetime.now(UTC).date()
    for n, entry in enumerate(settings.test_passcodes, 1):
        try:
            codes = load_test_numbers(
                [entry], settings.test_passcodes_in_production, production=reading.given.production, today=today
            )
        except ConfigurationError as error:
            yield fault("test_passcodes", error, which=f"Entry {n}: ")
            continue
        for phone, fixed in codes.items():
            says = f"{phone.hint} has a fixed code until the end of {fixed.last_day}: whoever knows it gets in."
            yield Finding(Level.WARNING, name, says, "Remove it once the review is over.")
            yield from _unserved(reading, fixed)
        if not codes:
            yield Finding(Level.NOTE, name, f"Entry {n} is over: its number is an ordinary one again.", "Remove it.")


def _unserved(reading: Reading, fixed: TestNumber) -> Iterator[Finding]:
    """Report a test number whose code no channel accepts, with the reason."""
    phone, allowed = fixed.phone, reading.settings.policy.allowed_regions
    router, planner, regions = reading.router, reading.planner, setting("allowed_regions")
    routes = {channel: route for channel in reading.drivers if (route := router.route(channel, phone))}
    plans = [planner.plan(route[0], channel) for channel, route in routes.items()]
    lengths = {plan.code_length or 0 for plan in plans if plan.holder is CodeSource.LOCAL}
    says = ""
    if phone.kind is PhoneKind.REFUSED:
        says, advice = "numbers of this kind are refused", "Write a mobile number."
    elif allowed is not None and phone.region not in allowed:
        says = f"{regions} does not allow its region, {phone.region}"
        advice = f"Add {phone.region} to {regions}, or write a number of an allowed region."
    elif not routes:
        says = f"no configured driver reaches it ({phone.region})"
        advice = "Write a number that a driver reaches, or add a driver that reaches this one."
    elif not any(plan.fits(fixed.code) for plan in plans):
        says = f"no channel's first driver that reaches it sends it codes of {len(fixed.code)} digits made by this site"
        advice = "List a driver first whose codes this site makes: `phone-verify drivers` shows them."
        if good := sorted(length for length in lengths if length >= SHORT_BELOW):
            advice = f"Write a code of {' or '.join(map(str, good))} digits for it."
    if says and reading.drivers:
        says = f"{phone.hint} cannot be verified by its code: {says}."
        yield Finding(Level.WARNING, setting("test_passcodes"), says, advice)


def _staff(reading: Reading) -> Iterator[Finding]:
    if reading.settings.staff_sign_in_by_phone:
        says = (
            "It is on: users with rights over other users sign in with a code sent to their phone, without a password. "
            "A swapped SIM card, or a message forwarded or read by someone else, then opens their account."
        )
        advice = "Remove it. Staff then sign in with a password, and use the phone as second factor."
        yield Finding(Level.WARNING, setting("staff_sign_in_by_phone"), says, advice)


def _notices(reading: Reading) -> Iterator[Finding]:
    if reading.settings.notify_old_number and not any(
        isinstance(driver, SendsNotices) for driver in reading.drivers.get(Channel.SMS, ())
    ):
        says = "It is on, and no SMS driver carries a text without a code: an old number gets no message."
        yield Finding(
            Level.WARNING, setting("notify_old_number"), says, f"Add ssms to {setting('sms')}, or remove this setting."
        )


RULES: Sequence[Callable[[Reading], Iterator[Finding]]] = (
    _misspelt,
    _channels,
    _practice,
    _short_codes,
    _keys,
    _public_url,
    _webhooks,
    _regions,
    _limits,
    _segments,
    _proxies,
    _test_numbers,
    _staff,
    _notices,
)
