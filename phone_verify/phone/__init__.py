"""Phone numbers: one normaliser for storage, budgets and matching.

A number is a `PhoneNumber` in E.164. `reading` parses what people type, `spellings` gives one phone
one form, and `renumbered` follows changes of numbering plans.
"""

from .attestation import Attestation
from .number import HIDDEN_CALLER_DIGITS, PhoneKind, PhoneNumber, is_region
from .plans import shared_plans
from .typed import DIGITS, FILLERS

__all__ = [
    "DIGITS",
    "FILLERS",
    "HIDDEN_CALLER_DIGITS",
    "Attestation",
    "PhoneKind",
    "PhoneNumber",
    "is_region",
    "shared_plans",
]
