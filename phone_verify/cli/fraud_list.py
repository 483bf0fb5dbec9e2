"""How the fraud guard weighs orders to one phone, as `phone-verify fraud explain` shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.site import SiteConfig
from ..conversions import Conversion
from ..errors import ConfigurationError
from ..fraud.assessment import Signal, Verdict
from ..fraud.guard import FraudExplanation
from ..phone import PhoneNumber
from ..verifier.blocking import Verifier
from .explaining import Explanation

_MEANINGS: Mapping[Signal, str] = {
    Signal.DENIED_NUMBER: "your list denies this number",
    Signal.DENIED_PREFIX: "your list denies numbers that begin like this",
    Signal.DENIED_REGION: "your list denies its region",
    Signal.DENIED_TYPE: "your list denies numbers of its type",
    Signal.DISPOSABLE: "it is in your file of disposable numbers",
    Signal.CONVERSION: "few orders to numbers that begin like this are verified",
    Signal.NETWORK: "few orders from this network are verified",
    Signal.SPEED: "more orders in an hour than the verified traffic of the range explains",
    Signal.NEIGHBOURS: "many neighbouring numbers in an hour",
    Signal.ALLOWANCE: "unknown networks have used up what they may send to a range under attack",
}
_VERDICTS: Mapping[Verdict, str] = {
    Verdict.PASSED: "it would be sent",
    Verdict.NOTED: "it would be sent, and recorded as one to refuse",
    Verdict.REFUSED: "it would be refused",
}


def find(given: SiteConfig, verifier: Verifier, phone: PhoneNumber) -> FraudExplanation:
    """Return how a visitor's order to a phone is weighed. Raises `ConfigurationError` and `StoreError`."""
    found = verifier.explain_fraud(phone)
    if found is None:
        raise ConfigurationError("this site has no fraud guard", f"Set {given.written('fraud')}; see docs/fraud.md.")
    return found


def lines(phone: PhoneNumber, found: FraudExplanation) -> Sequence[str]:
    """Return the explanation for a terminal."""
    assessment = found.assessment
    reasons = [f"{points:>4}  {signal}: {_MEANINGS[signal]}" for signal, points in assessment.reasons.items()]
    allowed = ["your list lets this number pass"] if assessment.allowed else []
    limit = f"refused from {found.rules.refuse_from}" + (", record only" if found.rules.record_only else "")
    return [
        f"{phone.hint} ({phone.region or 'no region'})",
        f"score {assessment.score} ({limit}): {_VERDICTS[found.verdict]}",
        *allowed,
        *reasons,
        f"10,000 numbers that begin alike: {_counts(found.prefix)}",
        f"a million numbers that begin alike: {_counts(found.block)}",
    ]


def document(phone: PhoneNumber, found: FraudExplanation) -> Mapping[str, Any]:
    """Return the explanation for JSON."""
    return {
        "phone": phone.hint,
        "region": phone.region,
        "score": found.assessment.score,
        "verdict": found.verdict,
        "record_only": found.rules.record_only,
        "refuse_from": found.rules.refuse_from,
        "allowed": found.assessment.allowed,
        "reasons": dict(found.assessment.reasons),
        "prefix": {"sent": round(found.prefix.sent, 1), "verified": round(found.prefix.verified, 1)},
        "block": {"sent": round(found.block.sent, 1), "verified": round(found.block.verified, 1)},
    }


def _counts(counts: Conversion) -> str:
    return f"{counts.sent:.1f} sent, {counts.verified:.1f} verified"


FRAUD = Explanation(find, document)
