"""Every error of the library; wrong and late codes are no errors, they are outcomes.

    ConfigurationError          a setting or DSN that cannot work; raised at start-up only
    PhoneVerifyError            everything that can happen at run time
    ├── InvalidPhoneError       the text is no phone number that can be called or messaged
    ├── StoreError              the store did not answer: nothing was sent, nothing accepted
    ├── ProviderError           a provider refused, or could not be reached; the next driver may try
    └── UnclearError            sent, but nobody knows whether it arrived; never tried elsewhere

`ConfigurationError` stands outside the family on purpose: code that survives a provider's or a store's bad
day must not survive a wrong setting by accident. No message holds a code, a key, a full number or a URL.
"""

from __future__ import annotations

from enum import StrEnum


class ConfigurationError(ValueError):
    """A setting that cannot work; the message names it and says what to write."""


class PhoneVerifyError(Exception):
    """Anything that can go wrong at run time."""


class InvalidPhoneError(PhoneVerifyError, ValueError):
    """The text is not a valid phone number, or has an extension or letters."""


class StoreError(PhoneVerifyError):
    """The store could not do the step. Nothing was sent and nothing was accepted because of it."""


class FailureKind(StrEnum):
    """What a provider's refusal means to us."""

    BAD_NUMBER = "bad_number"
    CONFIGURATION = "configuration"
    BALANCE = "balance"
    RATE = "rate"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


class ProviderError(PhoneVerifyError):
    """The provider definitely did not carry the order.

    `trouble` says why in our words; `detail` is the provider's own status or text, scrubbed by the driver,
    for the log and never for the visitor.
    """

    def __init__(self, trouble: FailureKind, detail: str = "") -> None:
        super().__init__(f"{trouble}: {detail}" if detail else str(trouble))
        self.trouble = trouble
        self.detail = detail

    @property
    def retryable(self) -> bool:
        """Whether the same order may succeed later without anybody changing a setting or the number."""
        return self.trouble in (FailureKind.RATE, FailureKind.TRANSIENT, FailureKind.UNKNOWN)


class UnclearError(PhoneVerifyError):
    """The order left us, and the answer was lost, late or unreadable: the message may be on its way."""
