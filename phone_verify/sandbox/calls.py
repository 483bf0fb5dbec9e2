"""A handset calls a number: which waits receive the call, and what the caller hears."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from phone_verify.sandbox.faults import NO_FAULT, Faults
from phone_verify.sandbox.network import Network
from phone_verify.sandbox.phones import Wait
from phone_verify.sandbox.protocols.base import Provider
from phone_verify.sandbox.webhooks import Forgery, Hook


@dataclass(frozen=True, slots=True)
class Report:
    """One wait that received the call, and the HTTP statuses of its webhook (None: no response)."""

    wait: Wait
    webhooks: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Dialled:
    """The result of a call. `busy` is the tone of a provider's line; without it the number doesn't
    exist.
    """

    number: str
    busy: bool
    reports: tuple[Report, ...] = ()

    @property
    def matched(self) -> bool:
        """Return whether a wait expected exactly this caller."""
        return any(report.wait.confirmed for report in self.reports)


def dial(
    phone: str,
    number: str,
    *,
    network: Network,
    faults: Faults,
    providers: Mapping[str, Provider],
    send_hook: Callable[[Hook, Forgery | None], int | None],
    pause: Callable[[float], object],
    caller: str | None = None,
    hidden: bool = False,
) -> Dialled:
    """Call `number` from the handset `phone`, showing `caller` in place of the handset's number if given."""
    owner = next((provider for provider in providers.values() if number in provider.lines_in(network)), None)
    fault = faults.find(owner.name, phone) if owner else NO_FAULT
    reached: tuple[Wait, ...] = ()
    if owner and not fault.lose:
        shown = "" if hidden or fault.hidden_caller else fault.foreign_caller or caller or phone
        reached = network.call_line(number, shown=shown, dialled_by=phone)
    # Last, so that a client that sees the call in the handset's list can rely on it.
    network.note_dialled(phone, number, provider=owner.name if owner else "", busy=owner is not None)
    if owner is None or fault.lose:
        return Dialled(number, busy=owner is not None)
    if fault.delay:
        pause(fault.delay)
    reports = []
    for wait in reached:
        hook = owner.hook(wait, fault)
        statuses = tuple(send_hook(hook, fault.webhook_signature) for _ in range(fault.copies)) if hook else ()
        reports.append(Report(wait, statuses))
    return Dialled(number, busy=True, reports=tuple(reports))
