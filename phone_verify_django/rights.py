"""Staff: which users have rights over other users, and which verifications count for them.

The rules are methods of `phone_verify.model.Redeemed`. `account_policy.lets_in` applies them when a user signs in,
`phones.assign` when a user gets a number, and the bridges when a code is a second factor.
"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied

from phone_verify.model import Redeemed

from . import primary
from .site import current_site

_RIGHTS = ("is_staff", "is_superuser")


class StaffPhoneError(PermissionDenied):
    """A test number's code cannot give a number to a staff user. Django responds with 403."""


def is_staff(user: object) -> bool:
    """Return whether this user has rights over other users: `is_staff` or `is_superuser`."""
    return not primary.refresh(user) or any(getattr(user, right, False) for right in _RIGHTS)


def counts_for(user: object, redeemed: Redeemed) -> bool:
    """Return whether this verification may count for this user, as second factor or for a number."""
    return redeemed.counts_for_staff or not is_staff(user)


def signs_in(user: object, redeemed: Redeemed) -> bool:
    """Return whether this verification alone may sign this user in. `Accounts.may_sign_in` is checked in addition."""
    return not is_staff(user) or redeemed.signs_in_staff(opened=current_site().staff_sign_in_by_phone)


def require(user: object, redeemed: Redeemed) -> None:
    """Raise `StaffPhoneError` unless this verification may count for this user."""
    if not counts_for(user, redeemed):
        raise StaffPhoneError("A test number's code cannot give a number to a user with rights over other users.")
