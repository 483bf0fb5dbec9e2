"""A scenario: the behaviour of the phone network, as a file that can be saved and loaded.

faults:                                  # simulated failures; fields as in `PUT /api/faults`
  - provider: amoot
    phone: "+989120000000"               # optional: limits it to this phone
    refuse: CreditNotEnough
    times: 1
handsets:                                # phones that exist from the start
  - phone: "+79000000000"
    dials_after: 2                       # calls every line it is asked to call, after 2 seconds
    caller: "+79000000013"               # and shows this number, or with `hidden: true` none
webhooks:                                # the URLs set in the providers' accounts
  ssms: http://127.0.0.1:8000/phone/webhooks/ssms/SECRET
lines:                                   # numbers for users to call, replacing the provider's
  telefon-ip: ["+79990000001"]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from phone_verify.sandbox.documents import Document, DocumentError, read_document, write_document
from phone_verify.sandbox.faults import LONGEST_DELAY, MAX_FAULTS, NO_FAULT, Fault, FaultError, read_fault
from phone_verify.sandbox.guard import local_site
from phone_verify.sandbox.network import MAX_HANDSETS, MAX_LINES, Habit
from phone_verify.sandbox.numbers import read_number
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.state import SandboxState

_PARTS = ("faults", "handsets", "webhooks", "lines")
_OF_A_HANDSET = ("phone", "dials_after", "caller", "hidden")
_PHONE = 'write a phone number with its country code, in quotes: "+989120000000"'
_URL = "write plain http on this machine: http://127.0.0.1:8000/…"

#: Providers whose account has a webhook URL.
WITH_WEBHOOK = tuple(provider.name for provider in PROVIDERS.values() if provider.webhook_in_cabinet)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The behaviour of a network. Phones and lines are E.164."""

    faults: tuple[tuple[str, str | None, Fault], ...] = ()
    handsets: tuple[tuple[str, Habit | None], ...] = ()
    webhooks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def as_json(self) -> dict[str, object]:
        """Return the scenario as plain values, without defaults; `scenario_of` parses them."""
        faults = [_written_fault(*each) for each in self.faults]
        handsets = [_written_handset(*each) for each in self.handsets]
        lines = {name: list(lines) for name, lines in self.lines.items()}
        values = zip(_PARTS, (faults, handsets, dict(self.webhooks), lines), strict=True)
        return {name: value for name, value in values if value}

    def as_text(self) -> str:
        """Return the scenario as a file; `read_scenario` parses it."""
        return "# A scenario of the phone_verify sandbox: phone-verify sandbox --scenario FILE\n" + write_document(
            self.as_json()
        )


class ScenarioError(ValueError):
    """The scenario is invalid. `fields` gives the line of each bad field and how to fix it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {what}" if name else what for name, what in fields.items()))
        self.fields = fields


def read_scenario(text: str) -> Scenario:
    """Parse a scenario's file. Raises ScenarioError."""
    try:
        document = read_document(text)
    except DocumentError as error:
        raise ScenarioError({"": str(error)}) from None
    return scenario_of(document)


def scenario_of(document: Document) -> Scenario:
    """Parse a scenario from plain values. Raises ScenarioError."""
    reading = _Reading(document.lines)
    scenario = reading.scenario(document.value)
    if reading.problems:
        raise ScenarioError(reading.problems)
    return scenario


def load(sandbox: SandboxState, scenario: Scenario) -> None:
    """Apply a scenario, replacing the current behaviour. Existing handsets keep what they received."""
    network = sandbox.network
    sandbox.faults.clear()
    for provider, phone, fault in scenario.faults:
        sandbox.faults.put(provider, phone, fault)
    # After the faults: the network notifies its readers, including the page, of the change.
    for provider in PROVIDERS:
        network.set_webhook(provider, scenario.webhooks.get(provider))
        network.set_lines(provider, scenario.lines.get(provider, ()))
    for handset in network.handsets():
        network.set_habit(handset.phone, None)
    for phone, habit in scenario.handsets:
        network.set_habit(phone, habit)


def present(sandbox: SandboxState) -> Scenario:
    """Return the current behaviour of the network."""
    return Scenario(
        faults=sandbox.faults.all(),
        handsets=tuple((handset.phone, handset.habit) for handset in reversed(sandbox.network.handsets())),
        webhooks=sandbox.network.webhooks(),
        lines=sandbox.network.lines(),
    )


class _Reading:
    """Parses a scenario to its end despite errors, so that all of them are reported together."""

    def __init__(self, lines: Mapping[str, int]) -> None:
        self._lines = lines
        self.problems: dict[str, str] = {}

    def scenario(self, value: object) -> Scenario:
        parts = self._mapping({} if value is None else value, "", _PARTS)
        return Scenario(
            faults=self._faults(parts.get("faults")),
            handsets=self._handsets(parts.get("handsets")),
            webhooks=self._webhooks(parts.get("webhooks")),
            lines=self._all_lines(parts.get("lines")),
        )

    def _faults(self, value: object) -> tuple[tuple[str, str | None, Fault], ...]:
        read: dict[tuple[str, str | None], Fault] = {}
        for path, item in self._list(value, "faults", MAX_FAULTS):
            wish = dict(self._mapping(item, path))
            name, written = wish.pop("provider", None), wish.pop("phone", None)
            provider = PROVIDERS.get(name) if isinstance(name, str) else None
            if provider is None:
                self._refuse(f"{path}.provider", "write one of: " + ", ".join(PROVIDERS))
                continue
            phone = None if written is None else self._phone(written, f"{path}.phone")
            try:
                fault = read_fault(wish, provider)
            except FaultError as error:
                for field_name, what in error.fields.items():
                    self._refuse(f"{path}.{field_name}", f"write {what}")
                continue
            if (provider.name, phone) in read:
                self._refuse(path, "this provider and phone already have a fault; merge both into one")
            read[provider.name, phone] = fault
        return tuple((provider, phone, fault) for (provider, phone), fault in read.items())

    def _handsets(self, value: object) -> tuple[tuple[str, Habit | None], ...]:
        read: dict[str, Habit | None] = {}
        for path, item in self._list(value, "handsets", MAX_HANDSETS):
            fields = self._mapping(item, path, _OF_A_HANDSET)
            phone = self._phone(fields.get("phone"), f"{path}.phone")
            if phone in read:
                self._refuse(f"{path}.phone", "this phone is already in the list")
            read[phone] = self._habit(fields, path)
        return tuple(read.items())

    def _habit(self, fields: Mapping[str, object], path: str) -> Habit | None:
        seconds, caller, hidden = fields.get("dials_after"), fields.get("caller"), fields.get("hidden", False)
        if not isinstance(hidden, bool):
            self._refuse(f"{path}.hidden", "write true or false")
        shown = None if caller is None else self._phone(caller, f"{path}.caller")
        if seconds is None:
            for name in ("caller", "hidden"):
                if fields.get(name):
                    self._refuse(f"{path}.{name}", "set dials_after too: without it this handset makes no calls")
            return None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_DELAY:
            self._refuse(f"{path}.dials_after", f"write seconds, 0 to {LONGEST_DELAY:g}")
            return None
        return Habit(float(seconds), shown, hidden is True)

    def _webhooks(self, value: object) -> Mapping[str, str]:
        read = {}
        for name, url in self._mapping({} if value is None else value, "webhooks", WITH_WEBHOOK).items():
            local = local_site(url) if isinstance(url, str) else None
            if local is None:
                self._refuse(f"webhooks.{name}", _URL)
            else:
                read[name] = local[1]
        return read

    def _all_lines(self, value: object) -> Mapping[str, tuple[str, ...]]:
        able = tuple(provider.name for provider in PROVIDERS.values() if provider.lines)
        read: dict[str, tuple[str, ...]] = {}
        for name, numbers in self._mapping({} if value is None else value, "lines", able).items():
            path = f"lines.{name}"
            read[name] = tuple(self._phone(number, each) for each, number in self._list(numbers, path, MAX_LINES))
            if not read[name]:
                self._refuse(path, "write at least one number")
        # The number alone determines which provider is called.
        owners: dict[str, str] = {}
        for name in sorted(able, key=lambda name: name in read):
            for line in read.get(name, PROVIDERS[name].lines):
                if owners.setdefault(line, name) != name:
                    self._refuse(f"lines.{name}", f"write numbers that {owners[line]} does not have")
        return read

    def _mapping(self, value: object, path: str, known: Sequence[str] | None = None) -> Mapping[str, object]:
        if not isinstance(value, dict):
            self._refuse(path, "write names with values" + (": " + ", ".join(known) if known else ""))
            return {}
        for name in value:
            if known is not None and name not in known:
                where = f"{path}.{name}" if path else str(name)
                self._refuse(where, "unknown; known are: " + ", ".join(known))
        return {name: item for name, item in value.items() if known is None or name in known}

    def _list(self, value: object, path: str, most: int) -> list[tuple[str, object]]:
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most:
            self._refuse(path, f"write a list of at most {most}")
            return []
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]

    def _phone(self, value: object, path: str) -> str:
        phone = read_number(value)
        if phone is None:
            self._refuse(path, _PHONE)
        return phone or path

    def _refuse(self, path: str, what: str) -> None:
        line = self._lines.get(path) or self._lines.get(path.rpartition(".")[0])
        self.problems.setdefault(path, f"line {line}: {what}" if line else what)


def _written_fault(provider: str, phone: str | None, fault: Fault) -> dict[str, object]:
    usual = NO_FAULT.as_json()
    changed = {name: value for name, value in fault.as_json().items() if value != usual[name]}
    return {"provider": provider, **({"phone": phone} if phone else {}), **changed}


def _written_handset(phone: str, habit: Habit | None) -> dict[str, object]:
    written: dict[str, object] = {"phone": phone}
    if habit is not None:
        written["dials_after"] = habit.dials_after
        written |= {"caller": habit.caller} if habit.caller else {}
        written |= {"hidden": True} if habit.hidden else {}
    return written
