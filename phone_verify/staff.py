"""Which verifications count for staff: users with rights over other users.

Each adapter says which users are staff, and calls these two functions where it signs a user in and where it gives a
user a number.
"""

from __future__ import annotations

from .model import Assurance, Redeemed


def counts_for_staff(redeemed: Redeemed) -> bool:
    """Return whether this verification may count for a staff user at all.

    A test number's code is fixed and known to reviewers. It gives a staff user no number and is no second factor.
    """
    return not redeemed.by_fixed_code


def signs_in_staff(redeemed: Redeemed, *, opened: bool) -> bool:
    """Return whether this verification alone, without a password, may sign a staff user in.

    `opened` is the site's setting `staff_sign_in_by_phone`. Even then a caller id, which networks can forge, and a
    code of fewer than six digits do not suffice.
    """
    return opened and counts_for_staff(redeemed) and redeemed.assurance is Assurance.CODE and not redeemed.short
