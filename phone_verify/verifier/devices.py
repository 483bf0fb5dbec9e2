"""The operations for trusted devices: they read and write a browser's token, and need no store."""

from __future__ import annotations

from datetime import UTC, datetime

from ..parts import Components
from ..phone import PhoneNumber
from ..tokens.trusted_device import TrustedDevices


class DeviceOperations:
    """Remembers sign-ins in a browser's token."""

    def __init__(self, parts: Components) -> None:
        self._devices, self._device_parts = TrustedDevices(parts.keyring, *parts.audiences), parts

    def remember_device(self, trusted_device: str, phone: PhoneNumber, user: str = "") -> str:
        """Return the trusted-device token for a browser that has just signed in with this phone.

        The browser presents it with its next starts; it is valid for 180 days. `trusted_device` is
        the token that the browser presented before, or an empty string. With the id of the `user`,
        `device_user` returns it for this token.
        """
        tag = self._device_parts.keyring.tag(phone)
        return self._devices.remember(trusted_device, tag, self._device_time(), user)

    def _trusts_device(self, trusted_device: str, tag: str) -> bool:
        """Return whether this token is from a sign-in with the phone of this tag within 180 days."""
        return self._devices.recognizes(trusted_device, tag, self._device_time())

    def device_user(self, trusted_device: str) -> tuple[str, str] | None:
        """Return the id of the user who last signed in with this token, and the tag of that phone.

        None if the token holds none. The user may have another number by now, or may not exist.
        """
        return self._devices.user_of(trusted_device, self._device_time())

    def forget_device_user(self, trusted_device: str) -> str:
        """Return the token without that user and phone; empty if nothing is left."""
        return self._devices.forget_user(trusted_device, self._device_time())

    def _device_time(self) -> datetime:
        return self._device_parts.now() or datetime.now(UTC)
