"""Reads the fields of a service: from the settings, a row, a form or the command line, by the same rules.

A field that is left out, or is an empty text, is that of the site.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, TypeVar

from ..errors import FieldFault, fault_of, quoted
from ..i18n.languages import LANGUAGES
from ..i18n.messages import Wording
from ..ledger.caps import Cap
from ..ledger.reading import read_caps, read_terms
from ..ledger.values import Terms
from ..model import Assurance, Channel
from ..phone import Attestation, is_region
from ..policy import FALLBACK_AFTER, RANGES, Policy, SendQuotas
from ..purposes import SECOND_FACTOR
from ..routing import Router
from ..services.service import Combine, InvalidServiceError, Service
from ..webhooks_out.endpoints import Endpoint, read_endpoints
from .ledger import money_fault
from .messages import texts_by_purpose
from .services import is_service_name
from .settings import Settings

#: Every field, in the order of a form.
FIELDS = (
    "title",
    "public",
    "channels",
    "drivers",
    "combine",
    "code_length",
    "ttl",
    "max_attempts",
    "resend_after",
    "languages",
    "texts",
    "allowed_regions",
    "purposes",
    "assurance",
    "caller_attestation",
    "sends_per_hour",
    "sends_per_hour_per_address",
    "sends_per_hour_per_prefix",
    "sends_per_hour_total",
    "caps",
    "terms",
    "endpoints",
)
#: Names that are addresses of pages beside those of the services.
_RESERVED = ("add",)
_LONGEST_TITLE = 40
_LARGEST_COUNT = 1_000_000_000
_LONGEST_DOCUMENT = 20_000
_FLAGS = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}

T = TypeVar("T")

#: Fields that are kept as their owner wrote them.
_DOCUMENTS = ("caps", "terms", "endpoints")


def read_service(name: str, values: Mapping[str, Any], settings: Settings, router: Router) -> Service:
    """Return the service with these fields, and the site's for all others.

    Lists may be texts with commas, numbers and flags texts, and mappings JSON. Raises
    `InvalidServiceError` with every field that cannot work at this site.
    """
    return _Reader(name, values, settings, router).service()


class _Reader:
    """Reads one service and collects what is wrong with its fields."""

    def __init__(self, name: str, values: Mapping[str, Any], settings: Settings, router: Router) -> None:
        self._name, self._settings, self._router = name, settings, router
        self._faults: dict[str, str] = {}
        self._given: dict[str, Any] = {}
        if not is_service_name(name):
            self._faults["name"] = FieldFault("use up to 32 lower-case letters, digits and _, beginning with a letter")
        elif name in _RESERVED:
            self._faults["name"] = FieldFault("is the address of a page of staff; use another name")
        if not isinstance(values, Mapping):
            raise InvalidServiceError(name, {"document": "must map fields to values"})
        for field in values:
            if field not in FIELDS:
                near = get_close_matches(str(field), FIELDS, n=1)
                self._faults[str(field)[:64]] = (
                    FieldFault("unknown field; did you mean {near}?", near=near[0])
                    if near
                    else FieldFault("unknown field")
                )
        self._values = {field: value for field, value in values.items() if field in FIELDS and not _is_left_out(value)}

    def service(self) -> Service:
        """Return the service. Raises `InvalidServiceError`."""
        settings = self._settings
        title = self._read("title", _title, "")
        public = self._read("public", _flag, default=False)
        channels, drivers = self._channels(), self._read_words("drivers", self._driver)
        router = self._limited(channels, drivers)
        channels = router.channels if channels or drivers else ()
        purposes = self._purposes(router)
        combine = self._read("combine", self._combine(router.channels), Combine.CHOICE)
        wording = Wording(
            {**settings.wording.texts, **self._read("texts", _texts, {})}, settings.wording.android_hashes
        )
        service = Service(
            name=self._name,
            title=title,
            public=public,
            policy=self._policy(router, combine, purposes),
            channels=channels,
            drivers=drivers,
            combine=combine,
            quotas=SendQuotas(
                per_phone=self._read("sends_per_hour", _count, 0),
                per_address=self._read("sends_per_hour_per_address", _count, 0),
                per_prefix=self._read("sends_per_hour_per_prefix", _count, 0),
                total=self._read("sends_per_hour_total", _count, 0),
            ),
            purposes=purposes,
            wording=wording,
            languages=self._read_words("languages", _language),
            caps=self._read("caps", self._caps, settings.accounting.caps),
            terms=self._read("terms", self._terms, settings.accounting.terms),
            endpoints=self._read("endpoints", self._endpoints, ()),
            given=self._given,
        )
        self._check_currency(service)
        if self._faults:
            raise InvalidServiceError(self._name, self._faults, service.as_in_a_row().endpoints)
        return service

    def _read(self, field: str, read: Callable[[Any], T], default: T) -> T:
        if field not in self._values:
            return default
        try:
            value = read(self._values[field])
        except ValueError as error:
            self._faults[field] = fault_of(error)
            return default
        given = _document(self._values[field]) if field in _DOCUMENTS else value
        self._given[field] = "any" if given is None else _plain(given)
        return value

    def _read_words(self, field: str, read: Callable[[str], T]) -> Sequence[T]:
        none: Sequence[T] = ()

        def read_all(value: Any) -> Sequence[T]:
            words = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
            if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word for word in words):
                raise ValueError(FieldFault("write a list of words"))
            made = tuple(read(word) for word in _not_empty(words))
            if len(set(made)) < len(made):
                raise ValueError(FieldFault("names one of them twice"))
            return made

        return self._read(field, read_all, none)

    def _caps(self, value: Any) -> tuple[Cap, ...]:
        caps = read_caps(self._for_ledger(_mapping(value)))
        self._check_money(caps, None)
        return caps

    def _terms(self, value: Any) -> Terms | None:
        terms = read_terms(self._for_ledger(_mapping(value)), self._settings.accounting.prices.currency)
        self._check_money((), terms)
        return terms

    def _endpoints(self, value: Any) -> tuple[Endpoint, ...]:
        return read_endpoints(self._for_ledger(_list(value)))

    def _for_ledger(self, value: T) -> T:
        if self._settings.ledger is None:
            raise ValueError(FieldFault("needs a ledger: set PHONE_VERIFY_LEDGER to a database"))
        return value

    def _check_money(self, caps: tuple[Cap, ...], terms: Terms | None) -> None:
        if (found := money_fault(caps, terms, self._settings.accounting.prices)) is not None:
            raise ValueError(found[1])

    def _check_currency(self, service: Service) -> None:
        """Note a fault if the service would read the amounts of the site's caps in its own currency."""
        site = self._settings.accounting
        currency = site.currency_of(site.terms)
        inherits = "caps" not in self._values and any(cap.money is not None for cap in site.caps)
        if inherits and site.currency_of(service.terms) != currency:
            self._faults["caps"] = FieldFault(
                "the caps of the site are amounts in {currency}; write caps of this service", currency=currency
            )

    def _channel(self, word: str) -> Channel:
        if word not in set(Channel):
            raise ValueError(
                FieldFault("unknown channel {word}; use {words}", word=quoted(word), words=", ".join(Channel))
            )
        if word not in self._router.channels:
            in_use = ", ".join(self._router.channels) or "–"
            raise ValueError(
                FieldFault("no driver of the site carries {word}; it has: {words}", word=word, words=in_use)
            )
        return Channel(word)

    def _driver(self, word: str) -> str:
        if word not in self._router.drivers():
            known = ", ".join(self._router.drivers())
            raise ValueError(
                FieldFault("no driver is named {word}; the site has: {words}", word=quoted(word), words=known)
            )
        return word

    def _purpose(self, word: str) -> str:
        known = (*self._settings.purposes.names, SECOND_FACTOR)
        if word not in known:
            raise ValueError(
                FieldFault("unknown purpose {word}; the site has: {words}", word=quoted(word), words=", ".join(known))
            )
        return word

    def _region(self, word: str) -> str:
        if not is_region(word):
            raise ValueError(
                FieldFault("{word} is not a region; use ISO 3166 codes in capitals, like IR", word=quoted(word))
            )
        allowed = self._settings.policy.allowed_regions
        if allowed is not None and word not in allowed:
            words = ", ".join(sorted(allowed))
            raise ValueError(FieldFault("the site does not allow {word}; it allows: {words}", word=word, words=words))
        return word

    def _channels(self) -> Sequence[Channel]:
        channels = self._read_words("channels", self._channel)
        assurances = self._read_words("assurance", _assurance)
        if not assurances:
            return channels
        reached = [each for each in channels or self._router.channels if _may_reach(each, assurances)]
        unfit = [each for each in channels if each not in reached]
        if unfit or not reached:
            self._faults["assurance"] = (
                FieldFault("{channel} gives another one; leave it out of the channels, or allow it", channel=unfit[0])
                if unfit
                else FieldFault("no channel of the site gives one of these; allow another one")
            )
        return reached

    def _limited(self, channels: Sequence[Channel], drivers: Sequence[str]) -> Router:
        if drivers and not channels:
            carried = [c for c in self._router.channels if any(d.name in drivers for d in self._router.carriers(c))]
            channels = carried
        try:
            return self._router.limited_to(channels, drivers)
        except ValueError as error:
            self._faults["drivers"] = FieldFault(
                "none of them carries {channel}; add one that does, or leave {channel} out", channel=error
            )
            return self._router

    def _purposes(self, router: Router) -> Sequence[str]:
        """Return the purposes; without a field, those whose required channels the service has."""
        purposes = self._read_words("purposes", self._purpose)

        def missing(purpose: str) -> Sequence[Channel]:
            wanted = self._settings.policy.required_for(purpose) or ()
            return [channel for channel in wanted if channel not in router.channels]

        for purpose in purposes:
            if channels := missing(purpose):
                self._faults["purposes"] = FieldFault(
                    "{purpose} requires {channel}, which is not among the channels",
                    purpose=purpose,
                    channel=channels[0],
                )
        known = (*self._settings.purposes.names, SECOND_FACTOR)
        if purposes or not any(map(missing, known)):
            return purposes
        return tuple(purpose for purpose in known if not missing(purpose))

    def _combine(self, channels: Sequence[Channel]) -> Callable[[Any], Combine]:
        def read(value: Any) -> Combine:
            if not isinstance(value, str) or value not in set(Combine):
                raise ValueError(FieldFault("use one of {words}", words=", ".join(Combine)))
            if value in (Combine.ALL, Combine.CALL_FIRST) and len(channels) < 2:
                raise ValueError(FieldFault("{word} needs two channels or more", word=value))
            if value == Combine.CALL_FIRST and Channel.INBOUND_CALL not in channels:
                raise ValueError(
                    FieldFault("{word} needs the channel {channel}", word=value, channel=Channel.INBOUND_CALL)
                )
            return Combine(value)

        return read

    def _policy(self, router: Router, combine: Combine, purposes: Sequence[str]) -> Policy:
        site = self._settings.policy
        required = {name: wanted for name, wanted in site.required_channels.items() if not purposes or name in purposes}
        combined: Sequence[Channel] = ()
        if combine in (Combine.ALL, Combine.CALL_FIRST):
            combined = sorted(router.channels, key=lambda each: each is not Channel.INBOUND_CALL)
            combined = combined if combine is Combine.CALL_FIRST else router.channels
        fallbacks = {
            channel: fallback
            for channel, fallback in site.fallbacks.items()
            if {channel, fallback.channel} <= set(router.channels)
        }
        resend_after = self._read("resend_after", _within("resend_after"), site.resend_after)
        if fallbacks and resend_after < FALLBACK_AFTER[0]:
            self._faults.setdefault(
                "resend_after",
                FieldFault("the fallbacks of the site need {seconds} or more", seconds=FALLBACK_AFTER[0].seconds),
            )
        regions = self._read_words("allowed_regions", self._region)
        return replace(
            site,
            code_length=self._read("code_length", _within("code_length"), site.code_length),
            ttl=self._read("ttl", _within("ttl"), site.ttl),
            max_attempts=self._read("max_attempts", _within("max_attempts"), site.max_attempts),
            resend_after=resend_after,
            allowed_regions=frozenset(regions) if regions else site.allowed_regions,
            required_channels=required,
            combined=combined,
            call_first=combine is Combine.CALL_FIRST,
            offers_choice=combine is not Combine.ANY,
            fallbacks=fallbacks,
            caller_attestation=self._attestation(router),
        )

    def _attestation(self, router: Router) -> Attestation | None:
        least = self._read("caller_attestation", _attestation, self._settings.policy.caller_attestation)
        assurances = self._given.get("assurance") or ()
        field = "caller_attestation"
        if Assurance.CALLER_ID_ATTESTED.value in assurances and Assurance.CALLER_ID.value not in assurances:
            least, field = Attestation.A, "assurance"
        for carrier in router.carriers(Channel.INBOUND_CALL) if least is not None else ():
            if not carrier.abilities[Channel.INBOUND_CALL].attests:
                self._faults.setdefault(
                    field,
                    FieldFault(
                        "{driver} reports calls without their attestation, so none would verify", driver=carrier.name
                    ),
                )
        return least


def _is_left_out(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _not_empty(value: T) -> T:
    """Return a list or a mapping. Raises `ValueError` if it is empty: that reads like none, and could mean all."""
    if not value:
        raise ValueError(FieldFault("is empty; leave it out"))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _title(value: Any) -> str:
    if not isinstance(value, str) or len(value.strip()) > _LONGEST_TITLE or not value.isprintable():
        raise ValueError(FieldFault("write a name of up to {most} visible characters", most=_LONGEST_TITLE))
    return value.strip()


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _FLAGS:
        raise ValueError(FieldFault("write true or false"))
    return _FLAGS[word]


def _number(value: Any) -> int:
    if isinstance(value, str) and len(value.strip()) < 10 and value.strip().isascii() and value.strip().isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_COUNT:
        return value
    raise ValueError(FieldFault("write a whole number"))


def _count(value: Any) -> int:
    count = _number(value)
    if count < 0:
        raise ValueError(FieldFault("write 0 (no limit) or more"))
    return count


def _within(field: str) -> Callable[[Any], Any]:
    low, high = RANGES[field]
    in_seconds = isinstance(low, timedelta)

    def read(value: Any) -> Any:
        number = _number(value)
        made = timedelta(seconds=number) if in_seconds else number
        if not low <= made <= high:
            least, most = (int(each.total_seconds()) if in_seconds else each for each in (low, high))
            if in_seconds:
                raise ValueError(FieldFault("must be from {least} to {most} seconds", least=least, most=most))
            raise ValueError(FieldFault("must be from {least} to {most}", least=least, most=most))
        return made

    return read


def _language(word: str) -> str:
    if word not in LANGUAGES:
        raise ValueError(
            FieldFault("unknown language {word}; use {words}", word=quoted(word), words=", ".join(LANGUAGES))
        )
    return word


def _assurance(word: str) -> Assurance:
    if word not in set(Assurance):
        raise ValueError(
            FieldFault("unknown assurance {word}; use {words}", word=quoted(word), words=", ".join(Assurance))
        )
    return Assurance(word)


def _may_reach(channel: Channel, assurances: Sequence[Assurance]) -> bool:
    if channel is Channel.INBOUND_CALL:
        return Assurance.CALLER_ID in assurances or Assurance.CALLER_ID_ATTESTED in assurances
    return Assurance.CODE in assurances


def _attestation(value: Any) -> Attestation | None:
    if value not in ("any", "A", "B"):
        raise ValueError(FieldFault("use one of {words}", words="any, B, A"))
    return None if value == "any" else Attestation(value)


def _texts(value: Any) -> Mapping[str, Mapping[str, str]]:
    return texts_by_purpose(_mapping(value))


def _mapping(value: Any) -> Mapping[str, Any]:
    made = _document(value)
    if not isinstance(made, Mapping) or not all(isinstance(name, str) for name in made):
        raise ValueError(FieldFault('write a mapping, as JSON like {{"name": "value"}}'))
    return _not_empty(made)


def _list(value: Any) -> Sequence[Any]:
    made = _document(value)
    if not isinstance(made, list | tuple):
        raise ValueError(FieldFault('write a list, as JSON like ["value"]'))
    return tuple(_not_empty(made))


def _document(value: Any) -> Any:
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
        made = json.loads(text, parse_constant=_refuse_constant)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(FieldFault("write JSON, without numbers that are not finite")) from None
    if len(text) > _LONGEST_DOCUMENT:
        raise ValueError(FieldFault("is longer than {most} characters of JSON", most=_LONGEST_DOCUMENT))
    return made


def _refuse_constant(constant: str) -> Any:
    raise ValueError(constant)
