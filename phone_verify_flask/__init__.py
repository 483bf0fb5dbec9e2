"""Phone sign-in for Flask sites.

phone_verify = PhoneVerify(app)

@phone_verify.user_for_phone
def user_for_phone(redeemed): ...
"""

from . import _conflict, _packages  # noqa: F401 - first: these raise if another package is in the way, or one is missing
from .decorators import phone_verified_required, recent_phone_check_required
from .extension import PhoneVerify, current_verifier
from .recent import last_phone_check

__all__ = [
    "PhoneVerify",
    "current_verifier",
    "last_phone_check",
    "phone_verified_required",
    "recent_phone_check_required",
]
