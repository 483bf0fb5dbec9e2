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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import yaml

from phone_verify.documents.yaml_reader import YamlError, read_yaml
from phone_verify.sandbox.faults import NO_FAULT, Fault, FaultError, read_fault
from phone_verify.sandbox.guard import local_site
from phone_verify.sandbox.numbers import read_number
from phone_verify.sandbox.phones import Habit
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.scenario_schema import WITH_LINES, path_text, problems_of
from phone_verify.sandbox.state import SandboxState

LARGEST_FILE = 64 * 1024
_PARTS = ("faults", "handsets", "webhooks", "lines")


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
        text: str = yaml.safe_dump(self.as_json(), sort_keys=False, width=120)
        return "# A scenario of the phone_verify sandbox: phone-verify sandbox --scenario FILE\n" + text


class ScenarioError(ValueError):
    """The scenario is invalid. `fields` gives the line of each bad field and how to fix it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {what}" if name else what for name, what in fields.items()))
        self.fields = fields


def read_scenario(text: str) -> Scenario:
    """Parse a scenario's file. Raises ScenarioError."""
    if len(text) > LARGEST_FILE:
        raise ScenarioError({"": f"write no more than {LARGEST_FILE // 1024} KiB"})
    try:
        document = read_yaml(text)
    except YamlError as error:
        raise ScenarioError({"": str(error)}) from None
    return scenario_of(document.value, {path_text(path): line for path, line in document.lines.items()})


def scenario_of(value: object, lines: Mapping[str, int] = MappingProxyType({})) -> Scenario:
    """Parse a scenario from plain values; `lines` are those of a file, by path. Raises ScenarioError."""
    problems = problems_of(value)
    parts: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    # A part that does not fit the schema is not read further; the others are, so that all errors are reported together.
    good = {name: parts.get(name) for name in _PARTS if not any(path.startswith(name) for path in problems)}
    scenario = Scenario(
        faults=_faults(good.get("faults") or (), problems),
        handsets=_handsets(good.get("handsets") or (), problems),
        webhooks={name: site[1] for name, url in (good.get("webhooks") or {}).items() if (site := local_site(url))},
        lines=_lines(good.get("lines") or {}, problems),
    )
    if problems:
        in_order = sorted(problems.items(), key=lambda problem: _line(problem[0], lines))
        raise ScenarioError({path: _with_line(path, what, lines) for path, what in in_order})
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


def _faults(items: Iterable[Mapping[str, Any]], problems: dict[str, str]) -> tuple[tuple[str, str | None, Fault], ...]:
    read: dict[tuple[str, str | None], Fault] = {}
    for index, item in enumerate(items):
        wish, path = dict(item), f"faults[{index}]"
        provider, written = PROVIDERS[wish.pop("provider")], wish.pop("phone", None)
        phone = None if written is None else _number(written)
        try:
            fault = read_fault(wish, provider)
        except FaultError as error:
            problems |= {f"{path}.{name}": f"write {what}" for name, what in error.fields.items()}
            continue
        if (provider.name, phone) in read:
            problems[path] = "this provider and phone already have a fault; merge both into one"
        read[provider.name, phone] = fault
    return tuple((provider, phone, fault) for (provider, phone), fault in read.items())


def _handsets(items: Iterable[Mapping[str, Any]], problems: dict[str, str]) -> tuple[tuple[str, Habit | None], ...]:
    read: dict[str, Habit | None] = {}
    for index, item in enumerate(items):
        phone, path = _number(item["phone"]), f"handsets[{index}]"
        if phone in read:
            problems[f"{path}.phone"] = "this phone is already in the list"
        seconds, caller, hidden = item.get("dials_after"), item.get("caller"), item.get("hidden", False)
        if seconds is None:
            needless = [name for name, value in (("caller", caller), ("hidden", hidden)) if value]
            problems |= {
                f"{path}.{name}": "set dials_after too: without it this handset makes no calls" for name in needless
            }
        read[phone] = None if seconds is None else Habit(float(seconds), read_number(caller), hidden)
    return tuple(read.items())


def _lines(items: Mapping[str, Iterable[object]], problems: dict[str, str]) -> Mapping[str, tuple[str, ...]]:
    read = {name: tuple(map(_number, numbers)) for name, numbers in items.items()}
    # The number alone determines which provider is called.
    owners: dict[str, str] = {}
    for name in sorted(WITH_LINES, key=lambda name: name in read):
        for line in read.get(name, PROVIDERS[name].lines):
            if owners.setdefault(line, name) != name:
                problems[f"lines.{name}"] = f"write numbers that {owners[line]} does not have"
    return read


def _number(value: object) -> str:
    """Return a number that the schema has let through."""
    return cast("str", read_number(value))


def _line(path: str, lines: Mapping[str, int]) -> int:
    """Return the line of a value or of what it is missing in; 0 without a file."""
    return lines.get(path) or lines.get(path.rpartition(".")[0], 0)


def _with_line(path: str, what: str, lines: Mapping[str, int]) -> str:
    line = _line(path, lines)
    return f"line {line}: {what}" if line else what


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
