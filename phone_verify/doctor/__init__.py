"""Configuration checks for a site, with suggested fixes.

`examine` reads the settings one by one, so that one mistake does not hide the next, queries the
store, and queries the providers that support it without sending anything. Its findings contain no
key, credential, code or full number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..config.settings import PREFIX
from ..config.site import SiteConfig
from ..errors import ConfigurationError
from ..transports.base import Transport
from .finding import CATALOGUE, Finding, Level
from .ledger import ledger
from .loader import Reading
from .packages import packages
from .probes import accounts, store
from .report import Report, read_ids
from .rules import RULES
from .services import services

__all__ = ["CATALOGUE", "Finding", "Level", "Report", "examine", "read_ids"]


def examine(
    given: SiteConfig,
    *,
    transport: Transport | None = None,
    say: Callable[[str], None] = lambda _: None,
    show_webhook_urls: bool = False,
) -> Sequence[Finding]:
    """Return all findings, most severe first.

    With a `transport` the store is read, and every provider that supports it is queried without
    sending; `say` announces each query, since it takes time. Without one nothing is contacted.
    Webhook URLs contain a secret, which is masked unless `show_webhook_urls` is true.
    """
    reading = Reading.of(given, show_webhook_urls=show_webhook_urls)
    findings = _by("settings", reading.faults)
    for rule in RULES:
        findings += _by(rule.__name__.strip("_"), rule(reading))
    findings += _by("packages", packages())
    findings += _by("store", store(reading, say if transport else None))
    findings += _by("services", services(reading, say if transport else None))
    findings += _by("ledger", ledger(reading, say if transport else None))
    if transport:
        findings += _by("accounts", accounts(reading, transport, say))
    if reading.keys and not any(finding.level is Level.ERROR for finding in findings):
        findings += _by("refused", _refused(given))
    worded = [_in_words(given, finding) for finding in findings]
    return sorted(worded, key=lambda finding: list(Level).index(finding.level))


def _in_words(given: SiteConfig, finding: Finding) -> Finding:
    """Return the finding with settings as the site's owner writes them."""
    names = finding.setting.split(" and ")
    title = " and ".join(
        given.written(name.removeprefix(PREFIX).lower()) if name.startswith(PREFIX) else name for name in names
    )
    about = finding.setting if finding.setting.startswith(PREFIX) else finding.says
    says, advice = given.in_words(finding.says, about), given.in_words(finding.advice, about)
    return replace(finding, title=title, says=says, advice=advice)


def _by(rule: str, findings: Iterable[Finding]) -> list[Finding]:
    return [replace(finding, rule=rule) for finding in findings]


def _refused(given: SiteConfig) -> Sequence[Finding]:
    """Return the error with which the site's own start fails, for mistakes that no rule covers."""
    try:
        given.site()
    except ConfigurationError as error:
        return [Finding(Level.ERROR, "", error.problem, error.advice, id="PV104")]
    return []
