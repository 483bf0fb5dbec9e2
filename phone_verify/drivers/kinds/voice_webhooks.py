"""Webhooks by which voice providers report a call that arrives, and the responses that reject it unanswered.

Only fields that the signature covers are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...exchange import WebhookReply, WebhookRequest
from ...model import IncomingCall
from ...phone import Attestation, PhoneNumber
from ..reading import number_of
from .inbound_call import readable_line
from .json_api import part_of
from .vendor_signatures import not_from_plivo, not_from_telnyx, not_from_twilio, not_from_vonage, telnyx_public_key

_XML = "text/xml; charset=utf-8"
_REJECT = WebhookReply('<?xml version="1.0" encoding="UTF-8"?><Response><Reject reason="busy"/></Response>', _XML)
_HANG_UP = WebhookReply('<?xml version="1.0" encoding="UTF-8"?><Response><Hangup reason="busy"/></Response>', _XML)
_CALLER = re.compile(r"(\+?)([0-9]{8,15})")
#: In the place of a member of a document that is not a text.
_NO_TEXT = "(no text)"
_LETTERS = {letter: level for level in Attestation for letter in (level.value, level.value.lower())}

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class VoiceVendor:
    """How one vendor reports a call.

    `refuses` returns why a webhook is not signed with this key; `fields` returns the fields that the
    signature covers. A call is one that rings if each field of `ringing` has one of its values, `""`
    if it may be absent. `plus` is whether the caller begins with `+`: digits alone are then not E.164.
    `attestation` is the field with one of the `levels`, empty if none is known; it counts only if the
    field `validated`, if there is one, is `true`.
    """

    refuses: Callable[[str, WebhookRequest], str | None]
    fields: Callable[[WebhookRequest], Fields]
    rejection: WebhookReply
    ringing: Mapping[str, tuple[str, ...]]
    caller: str = "From"
    line: str = "To"
    plus: bool = True
    attestation: str = ""
    levels: Mapping[str, Attestation] = field(default_factory=lambda: _LETTERS)
    validated: str = ""

    def call_of(self, request: WebhookRequest, pool: Sequence[PhoneNumber], attestation: str) -> IncomingCall | None:
        """Return the call to a line of this pool that a webhook reports; None for any other.

        `attestation` is the name of its field.
        """
        pairs = self.fields(request)
        fields = dict(pairs)
        rings = all(fields.get(name, "") in values for name, values in self.ringing.items())
        shown, line = _CALLER.fullmatch(fields.get(self.caller, "")), readable_line(fields.get(self.line))
        caller = number_of("+" + shown[2]) if shown and (shown[1] or not self.plus) else None
        if len(fields) < len(pairs) or not rings or caller is None or line not in pool:
            return None
        is_valid = not self.validated or fields.get(self.validated, "").lower() == "true"
        return IncomingCall(None, line, caller, self.levels.get(fields.get(attestation, "")) if is_valid else None)


def _not_from_telnyx(key: str, request: WebhookRequest) -> str | None:
    return _not_in_body(request) or not_from_telnyx(telnyx_public_key(key), request)


def _not_from_vonage(key: str, request: WebhookRequest) -> str | None:
    return _not_in_body(request) or not_from_vonage(key, request)


def _not_in_body(request: WebhookRequest) -> str | None:
    """Return why a webhook is refused whose signature covers its body alone; None if it has one."""
    return None if request.body else "it is not a POST with a body, which is all that the signature covers"


def _parameters(request: WebhookRequest) -> Fields:
    return request.parameters


def _form(request: WebhookRequest) -> Fields:
    """Return the form; nothing if there is a query, which is not signed."""
    return request.form if request.form == list(request.parameters) else ()


def _document(request: WebhookRequest) -> Fields:
    members = part_of(request.json()).items()
    return [(name, value if isinstance(value, str) else _NO_TEXT) for name, value in members]


VOICE_VENDORS: Mapping[str, VoiceVendor] = {
    "twilio": VoiceVendor(
        not_from_twilio,
        _parameters,
        _REJECT,
        {"Direction": ("inbound",), "CallStatus": ("ringing",)},
        attestation="StirVerstat",
        levels={f"TN-Validation-Passed-{level}": level for level in Attestation},
    ),
    "telnyx": VoiceVendor(
        _not_from_telnyx,
        _form,
        _REJECT,
        {"Direction": ("inbound", ""), "CallStatus": ("ringing", "initiated", ""), "CallDuration": ("",)},
        attestation="ShakenStirAttestation",
        validated="ShakenStirValidated",
    ),
    "vonage": VoiceVendor(
        _not_from_vonage,
        _document,
        WebhookReply("[]", "application/json"),
        # Events of a call, its input and messages have one of these, of any type.
        dict.fromkeys(("status", "direction", "dtmf", "speech", "message_uuid", "messageId", "channel"), ("",)),
        caller="from",
        line="to",
        plus=False,
    ),
    "plivo": VoiceVendor(
        not_from_plivo,
        _parameters,
        _HANG_UP,
        {"Direction": ("inbound",), "CallStatus": ("ringing", ""), "Duration": ("",)},
        plus=False,
        attestation="STIRVerification",
        levels={"Verified": Attestation.A, "Not Verified": Attestation.C},
    ),
}
