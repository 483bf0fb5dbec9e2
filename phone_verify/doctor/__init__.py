"""What is wrong with a site's configuration, in plain words, and what to write instead.

`examine` reads the settings one by one, so that one mistake does not hide the next, asks the store, and asks the
providers that can be asked without sending anything. It shows no key, no credential, no code and no whole number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..config.site import SiteConfig
from ..errors import ConfigurationError
from ..transports.base import Transport
from .finding import Finding, Level, count
from .loader import Reading
from .probes import accounts, store
from .rules import RULES

__all__ = ["Finding", "Level", "count", "examine"]


def examine(
    given: SiteConfig,
    *,
    transport: Transport | None = None,
    say: Callable[[str], None] = lambda _: None,
    show_webhook_urls: bool = False,
) -> Sequence[Finding]:
    """Everything that can be said of these settings, what matters most first.

    With a `transport` the store is read, and every provider that can be asked without sending is asked; `say` is told
    of each before, since that takes its time. Without one nobody is asked. Addresses of webhooks hold a secret, which
    is masked unless they are to be shown.
    """
    reading = Reading.of(given, show_webhook_urls=show_webhook_urls)
    findings = _by("settings", reading.faults)
    for rule in RULES:
        findings += _by(rule.__name__.strip("_"), rule(reading))
    findings += _by("store", store(reading, say if transport else None))
    if transport:
        findings += _by("accounts", accounts(reading, transport, say))
    if reading.keys and not any(finding.level is Level.ERROR for finding in findings):
        findings += _by("refused", _refused(given))
    return sorted(findings, key=lambda finding: list(Level).index(finding.level))


def _by(rule: str, findings: Iterable[Finding]) -> list[Finding]:
    return [replace(finding, rule=rule) for finding in findings]


def _refused(given: SiteConfig) -> Sequence[Finding]:
    """What the site's own start refuses: whatever no rule above knows."""
    try:
        given.site()
    except ConfigurationError as error:
        return [Finding(Level.ERROR, "", str(error))]
    return []
