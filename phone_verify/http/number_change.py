"""Rules for giving a user a first number or changing the current one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from ..errors import InvalidPhoneError
from ..phone import PhoneNumber
from ..policy import Policy
from .call import ApiRequest

#: Maximum time from a sign-in to a first number, and from a verification of the current number to a
#: changed one (threat model, "Web").
RECENT = timedelta(minutes=15)

_DIGIT = re.compile(r"[0-9]", re.ASCII)


class Change(StrEnum):
    """Whether the signed-in user may be given a number, and what is missing if not."""

    ALLOWED = "allowed"
    #: A first number without a recent sign-in; or the current number does not count in this
    #: session.
    SIGN_IN_AGAIN = "sign_in_again"
    #: The current number has not been verified recently.
    VERIFY_PRESENT = "verify_present"
    #: As above, and the site has a rule for lost numbers.
    ASK_SITE = "ask_site"


def current_numbers(call: ApiRequest) -> Sequence[PhoneNumber]:
    """Return the numbers of the signed-in user in today's form, the primary one first.

    Numbers that today's plan does not contain are among them; other texts are left out.
    """
    if call.user is None:
        return []
    found: dict[PhoneNumber, None] = {}
    for text in dict.fromkeys([call.user.phone or "", *call.user.numbers]):
        try:
            found[PhoneNumber.stored(text).current] = None
        except InvalidPhoneError:
            continue
    return list(found)


def read_number(call: ApiRequest, policy: Policy, text: str, *, region: str = "", prose: bool = False) -> PhoneNumber:
    """Return the number that a visitor typed, in national form of `region`, or of the site's regions.

    Users may write their current number as it is stored, even if today's plan does not contain it.
    Raises `InvalidPhoneError`.
    """
    first = region or policy.region
    try:
        return PhoneNumber.read(text, first, also=policy.regions_after(first), prose=prose)
    except InvalidPhoneError:
        own = PhoneNumber.lookup(text, first).current
        if own in current_numbers(call):
            return own
        raise


def may_have(call: ApiRequest, phone: PhoneNumber | None = None) -> Change:
    """Return whether the signed-in user may be given this number.

    Without one, whether any but the current number.
    """
    own = current_numbers(call)
    if phone in own:
        return Change.ALLOWED
    if not own and not _has_unreadable_number(call):
        return Change.ALLOWED if _recent(call.signed_in_for) else Change.SIGN_IN_AGAIN
    if _recent(call.proved_for) or call.without_old:
        return Change.ALLOWED
    if call.asks_without_old and call.without_old is None:
        return Change.ASK_SITE
    return Change.VERIFY_PRESENT if call.present_counts or not own else Change.SIGN_IN_AGAIN


def _has_unreadable_number(call: ApiRequest) -> bool:
    """Return whether the user has a number without its country code.

    It cannot be verified, but it must not be replaced as if the user had none. A text without a
    digit does not count: sites write "none" or "-".
    """
    return call.user is not None and any(_DIGIT.search(text) for text in (call.user.phone or "", *call.user.numbers))


def _recent(age: timedelta | None) -> bool:
    return age is not None and age <= RECENT
