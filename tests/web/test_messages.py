"""What the session keeps of a posted form."""

from __future__ import annotations

from typing import Any

from phone_verify.http.session_notes import Notes
from phone_verify.web.messages import Message, Messages


def test_message_keeps_little_of_a_hostile_form() -> None:
    session: dict[str, Any] = {}
    kept, long = Messages(session), "x" * 9999
    for _ in range(6):
        kept.keep(Message("login", error=long, phone=long, channel=long))
    assert len(repr(session)) < 1000
    message = kept.take("login")
    assert message is not None
    assert (message.channel, message.phone) == ("", "x" * 64)
    kept.keep(Message("login", error="no", channel="sms"))
    message = kept.take("login")
    assert message is not None
    assert message.channel == "sms"
    assert session == {}


def test_repr_shows_no_number() -> None:
    session: dict[str, Any] = {}
    message = Message("login", error="no", phone="+989120000000")
    Messages(session).keep(message)
    for shown in (message, Messages(session), Notes(session)):
        assert "98912" not in repr(shown)
