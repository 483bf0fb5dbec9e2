"""Sign in by phone on a Flask site.

phone_verify = PhoneVerify(app)

@phone_verify.user_for_phone
def user_for_phone(phone): ...
"""

from . import namesake  # noqa: F401 - comes first: refuses to go on beside a package of the same name
from .extension import PhoneVerify, current_verifier

__all__ = ["PhoneVerify", "current_verifier"]
