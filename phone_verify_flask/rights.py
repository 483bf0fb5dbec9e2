"""Staff: which users have rights over other users, and which verifications count for them.

The rules are in `phone_verify.staff`. `login.sign_in` applies them at sign-in, `login.set_phone` when a number is
assigned, and the bridge to Flask-Security when it accepts a code.
"""

from __future__ import annotations

from typing import Any

from phone_verify.api import Site
from phone_verify.errors import PhoneVerifyError
from phone_verify.model import Redeemed

#: Flask defines no names for them.
_RIGHTS = ("is_staff", "is_superuser", "is_admin")


class StaffPhoneError(PhoneVerifyError):
    """A test number's code cannot give a number to a staff user."""


def is_staff(site: Site, user: Any) -> bool:
    """Return whether this user has rights over other users.

    That is one of the attributes `is_staff`, `is_superuser` and `is_admin`, or a role in `PHONE_VERIFY_STAFF_ROLES`:
    `user.roles` holds texts, or objects with a `name` as Flask-Security's are.
    """
    if any(getattr(user, right, False) for right in _RIGHTS):
        return True
    roles = getattr(user, "roles", None) or ()
    names = roles.split(",") if isinstance(roles, str) else (getattr(role, "name", role) for role in roles)
    return not {str(name).strip() for name in names}.isdisjoint(site.staff_roles)


def counts_for(site: Site, user: Any, redeemed: Redeemed) -> bool:
    """Return whether this verification may count for this user, as second factor or for a number."""
    return redeemed.counts_for_staff or not is_staff(site, user)


def signs_in(site: Site, user: Any, redeemed: Redeemed) -> bool:
    """Return whether this verification alone may sign this user in."""
    return not is_staff(site, user) or redeemed.signs_in_staff(opened=site.staff_sign_in_by_phone)
