"""The number of the last sign-in on a trusted device, with which the login page offers to continue.

The device's cookie holds no number, but the sealed id of the user. The adapter returns that user's
current numbers, and one of them is offered if it is the number that signed in on this device: a
number that was changed or removed, and a user who was deleted or may not sign in, are not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import InvalidPhoneError
from ..http.call import ApiRequest
from ..http.cookies import last_channel
from ..http.site import Site
from ..model import Channel
from ..phone import PhoneNumber
from .pages import LastNumber
from .steps import choice_of

#: Returns the current numbers, in E.164, of the user with this id; none if that user cannot sign in.
NumbersOf = Callable[[str], Sequence[str]]


def last_number(site: Site, call: ApiRequest, numbers_of: NumbersOf | None) -> PhoneNumber | None:
    """Return the number to continue with, or None. A visitor who is signed in sees only their own."""
    if numbers_of is None or not site.offer_last_number:
        return None
    found = site.verifier.device_user(call.device_cookie)
    if found is None or (call.user is not None and call.user.id != found[0]):
        return None
    user_id, tag = found
    for number in numbers_of(user_id):
        try:
            phone = PhoneNumber.stored(number).current
        except InvalidPhoneError:
            continue
        # Only the signed-in user of a number that has left its plan can start a verification for it.
        if phone.is_valid and site.verifier.tag(phone) == tag:
            return phone
    return None


def last_channel_of(site: Site, call: ApiRequest) -> Channel:
    """Return the channel of the last sign-in on this device, or the first that signs in."""
    channels = [channel for channel in site.verifier.channels if site.verifier.policy.accepts(channel, "login")]
    word = last_channel(call)
    return Channel(word) if word in channels else channels[0]


def described(site: Site, call: ApiRequest, phone: PhoneNumber | None) -> LastNumber | None:
    """Return the number as the page shows it."""
    if phone is None:
        return None
    hint = f"+{phone.calling_code} ••• {phone.e164[-2:]}"
    return LastNumber(hint, choice_of(site, call.texts, last_channel_of(site, call)))
