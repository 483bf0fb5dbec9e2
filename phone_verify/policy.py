"""The limits of a site: lengths, lifetimes, attempts and sends.

Frozen; invalid values raise on construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from .errors import ConfigurationError, quoted
from .model import Channel
from .phone import Attestation, is_region
from .purposes import SECOND_FACTOR, CodeLimits, rules_for

#: NIST SP 800-63B-4 section 3.1.3.2: a code is valid for at most ten minutes. Cannot be raised by
#: configuration.
HARD_LIFE = timedelta(seconds=600)
HARD_RESEND_DELAY = timedelta(seconds=600)

#: Four digits have 13.3 bits, NIST requires six digits: shorter codes get fewer attempts, a shorter
#: lifetime and a lower limit of consecutive failures (threat model, section 4, "Flash call").
SHORT_BELOW = 6
SHORT_ATTEMPTS = 3
SHORT_LIFE = timedelta(seconds=180)
SHORT_FAILURES = 10

#: Wrong answers are dropped after this time without another one.
FAILURE_MEMORY = timedelta(days=30)
#: At the limit a budget is locked for this time, doubled each time until a success.
FIRST_LOCK = timedelta(hours=1)
LONGEST_LOCK = timedelta(hours=24)
#: Short codes of a phone stay closed for this time after a wrong answer at or above their limit.
SHORT_REST = timedelta(hours=1)
#: A test number's failures are kept longer than the longest validity of a test number.
TEST_NUMBER_MEMORY = timedelta(days=366)
SEND_WINDOW = timedelta(hours=1)

#: The period that the site-wide tally covers, in hours.
TALLY_HOURS = 24
#: Wrong answers of one address that the site-wide tally counts per hour, so that no address alone
#: closes anything.
TALLIED_PER_ADDRESS = 3
#: If many answers are correct, this share of them may be wrong before the site-wide limits apply.
TALLY_SHARE = 0.02
#: The length of codes for browsers that are not trusted devices, once six digits are being guessed.
LONG_CODE = 8
#: One send in this many is reserved for trusted devices and for server code.
RESERVED_SHARE = 5
#: An IPv6 /48 may send this many times the limit of a /64.
SITE_OF_ADDRESSES = 10
#: Orders that every provider refused, per hour: for a phone, for an address, for a service.
REFUSED_PER_PHONE = 5
REFUSED_PER_ADDRESS = 20
#: For an OAuth client or an access key, whose server orders for many users.
REFUSED_PER_CLIENT = 100
REFUSED_TOTAL = 200
#: Orders that may lease one of the site's lines, of an address, and of an OAuth client or an access key, within
#: the time that a lease and its rest take by default: an address then holds few lines of a pool at a time.
LEASES_PER_ADDRESS = 10
LEASES_PER_CLIENT = 100
LEASE_WINDOW = timedelta(minutes=4)
#: For an IPv6 /48: half of the site's, so that one network closes nothing for others.
REFUSED_PER_SITE_OF_ADDRESSES = 100

#: Smallest and largest value of a setting, and the settings for which 0 means no limit. The
#: documentation lists both.
RANGES: dict[str, tuple[Any, Any]] = {
    "code_length": (4, 8),
    "ttl": (timedelta(seconds=30), HARD_LIFE),
    "max_attempts": (1, 10),
    "resend_after": (timedelta(0), HARD_RESEND_DELAY),
    "max_failures": (1, 100),
    "short_failures_per_day": (1, 1_000_000),
    "failures_per_day": (1, 1_000_000),
}
COUNTS = (
    "sends_per_hour",
    "sends_per_hour_per_address",
    "sends_per_hour_per_prefix",
    "sends_per_hour_total",
    "wrong_per_hour_per_address",
    "sends_per_hour_per_client",
    "wrong_per_hour_per_client",
    "failures_ceiling",
)


#: Smallest and largest wait before an order moves to another channel by itself.
FALLBACK_AFTER = (timedelta(seconds=10), timedelta(seconds=120))


@dataclass(frozen=True, slots=True)
class Fallback:
    """The channel to which an order moves by itself, and how long after it was sent."""

    channel: Channel
    after: timedelta


@dataclass(frozen=True, slots=True)
class SendQuotas:
    """Sends per hour of one service, besides the quotas of the whole site; 0 means no limit."""

    per_phone: int = 0
    per_address: int = 0
    per_prefix: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one service.

    Every number is an upper limit: the smaller of it and the channel's own limit applies.
    `code_length` is a preference: a driver that carries only shorter ones of our codes uses its
    longest. A limit of sends or of wrong answers, and a failures ceiling, of 0 means no limit.
    Raises `ConfigurationError` for a value outside its range.
    """

    code_length: int = 6
    ttl: timedelta = timedelta(seconds=300)
    max_attempts: int = 5
    resend_after: timedelta = timedelta(seconds=60)
    max_failures: int = 20
    sends_per_hour: int = 5
    sends_per_hour_per_address: int = 100
    sends_per_hour_per_prefix: int = 50
    sends_per_hour_total: int = 1000
    failures_ceiling: int = 0
    short_failures_per_day: int = 100
    failures_per_day: int = 1000
    wrong_per_hour_per_address: int = 30
    #: Of OAuth clients, in place of the limits per address.
    sends_per_hour_per_client: int = 500
    wrong_per_hour_per_client: int = 100
    region: str | None = None
    allowed_regions: frozenset[str] | None = None
    #: Code length and lifetime of single purposes, in place of `code_length` and `ttl`.
    code_limits: Mapping[str, CodeLimits] = field(default_factory=dict)
    #: Purposes whose proof is accepted only after each of these channels has verified the phone.
    required_channels: Mapping[str, Sequence[Channel]] = field(default_factory=dict)
    #: Channels that must each verify the phone, for every purpose without an entry above.
    combined: Sequence[Channel] = ()
    #: Whether another channel that is required starts only after the phone has called.
    call_first: bool = False
    #: Whether the pages ask by which channel to verify, if there are several.
    offers_choice: bool = True
    #: The weakest attestation of a caller that verifies a call; None: any call does.
    caller_attestation: Attestation | None = None
    #: Channels whose orders move to another one if the user does not answer in time.
    fallbacks: Mapping[Channel, Fallback] = field(default_factory=dict)

    def __post_init__(self) -> None:
        low, high = FALLBACK_AFTER
        for channel, fallback in self.fallbacks.items():
            if fallback.channel is channel or not low <= fallback.after <= high:
                wait = f"{low.seconds} to {high.seconds} seconds"
                raise ConfigurationError(f"PHONE_VERIFY_FALLBACKS: {channel}: name another channel, and {wait}")
        for purpose, limits in self.code_limits.items():
            for name, word in (("code_length", "length"), ("ttl", "ttl")):
                low, high = RANGES[name]
                value = getattr(limits, name)
                if value is not None and not low <= value <= high:
                    raise ConfigurationError(
                        f"PHONE_VERIFY_PURPOSES: {word} of {purpose} must be from {_plain(low)} to {_plain(high)}"
                    )
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"PHONE_VERIFY_{name.upper()} must be from {_plain(low)} to {_plain(high)}")
        for name in COUNTS:
            if getattr(self, name) < 0:
                raise ConfigurationError(f"PHONE_VERIFY_{name.upper()} must be 0 (no limit) or more")
        regions = [("ALLOWED_REGIONS", region) for region in self.allowed_regions or ()]
        for name, region in [*regions, *([("REGION", self.region)] if self.region else [])]:
            if not is_region(region):
                raise ConfigurationError(
                    f"PHONE_VERIFY_{name}: {quoted(region)} is not a region; use ISO 3166 codes in capitals, "
                    "like IR or RU"
                )

    def regions_after(self, region: str | None) -> Sequence[str]:
        """Return the regions whose national form is tried after that of `region`.

        The default region, then the allowed ones in alphabetical order; none without `region`.
        """
        if region is None:
            return ()
        others = dict.fromkeys([self.region, *sorted(self.allowed_regions or ())])
        return [other for other in others if other not in (None, region)]

    def accepts(self, channel: Channel, *purposes: str) -> bool:
        """Return whether this channel may begin a verification for one of these purposes."""
        wanted = [self.required_for(purpose) for purpose in purposes]
        may_begin = not self.call_first or channel is Channel.INBOUND_CALL
        return any(channels is None or (channel in channels and may_begin) for channels in wanted)

    def required_for(self, purpose: str) -> Sequence[Channel] | None:
        """Return the channels that must each verify the phone for this purpose; None if any one is sufficient."""
        if not self.combines:
            return None
        # The forms of the second factor have one code.
        of_all = None if purpose == SECOND_FACTOR or not self.combined else self.combined
        return next(iter(rules_for(self.required_channels, purpose)), of_all)

    @property
    def combines(self) -> bool:
        """Whether a purpose may require several channels."""
        return bool(self.required_channels or self.combined)

    def limits_for(self, purpose: str) -> CodeLimits | None:
        """Return the code length and lifetime of this purpose; None for those of the site."""
        rules = rules_for(self.code_limits, purpose)
        if not rules:
            return None
        length = next((rule.code_length for rule in rules if rule.code_length is not None), None)
        return CodeLimits(length, next((rule.ttl for rule in rules if rule.ttl is not None), None))

    def for_purpose(self, purpose: str) -> Policy:
        """Return the policy with the code length and lifetime of this purpose."""
        limits = self.limits_for(purpose)
        if limits is None:
            return self
        return replace(self, code_length=limits.code_length or self.code_length, ttl=limits.ttl or self.ttl)


def resend_delay(resend_after: timedelta, sends: int) -> timedelta:
    """Return the delay after the `sends`-th send: doubled each time, at most ten minutes."""
    return min(resend_after * (1 << min(sends - 1, 10)), HARD_RESEND_DELAY)


#: Channels that reach a fixed line.
VOICE_CHANNELS = frozenset({Channel.VOICE, Channel.INBOUND_CALL})


def _plain(value: int | timedelta) -> str:
    return f"{value.total_seconds():.0f} seconds" if isinstance(value, timedelta) else str(value)
