"""The settings of `<phone-verify>`: the site's channels, the texts of a language and the style sheet, as JSON.

Nothing in it depends on the visitor, so browsers and proxies may keep it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from ..http.site import Site
from ..i18n.languages import ENGLISH, named
from ..i18n.texts import Texts, texts_in
from ..model import Channel
from .pages import NumberHelp, number_help
from .steps import choice_of

#: The texts of the pages that the element shows too.
_TEXTS = (
    "caller_unknown", "change", "code_title", "code_title_flash_call", "code_title_inbound_call", "confirm",
    "continue", "copied", "copy_number", "dial_number", "dial_qr", "dial_scan", "dial_wait", "called", "expires",
    "expires_inbound_call", "last_digits", "lead_code", "lead_flash_call", "lead_held", "lead_inbound_call",
    "lead_voice", "login_lead", "login_lead_call", "login_title", "new_call", "new_code", "next_channel", "no_call_yet",
    "number_confirmed", "offline", "or_code", "other_caller", "other_number", "other_ways", "phone", "phone_example",
    "phone_help", "recommended", "resend_code", "resend_flash_call", "resend_in", "resend_in_flash_call",
    "resend_in_inbound_call", "resend_inbound_call", "sending", "sent_again_code", "sent_again_flash_call",
    "sent_again_inbound_call", "signed_in", "slow", "title_cancelled", "title_exhausted", "title_expired",
    "title_expired_call", "title_failed", "title_verified", "unavailable", "verify_lead_call", "verify_title", "way",
)  # fmt: skip
_TRY_AGAIN = "Try again in {duration}."
#: The largest setting of attempts, and the longest code (design, "ranges").
_MOST_ATTEMPTS, _LONGEST_CODE = 10, 8


def client_settings(site: Site, lang: str, purpose: str) -> bytes:
    """Return the JSON for a language tag and a purpose; an unsupported language gets English.

    Texts with a count are lists, by count: the rules of plurals stay here.
    """
    language = named(lang) or ENGLISH
    texts = texts_in(language)
    channels = [c for c in site.verifier.channels if site.verifier.policy.accepts(c, purpose or "login")]
    number = number_help(site.verifier.policy, language, site.regions)
    document = {
        "lang": language.tag,
        "dir": language.direction,
        "digits": language.digits,
        "number": {"example": number.example, "local": number.local, "field": _field(number, texts)},
        "channels": [_channel(site, texts, channel, first=channel is channels[0]) for channel in channels],
        # A call can arrive, or an order can move to another channel.
        "watch": [Channel.INBOUND_CALL, *site.verifier.policy.fallbacks],
        "texts": {**{key: texts.page[key] for key in _TEXTS}, "try_again_in": texts.translated(_TRY_AGAIN)},
        "attempts": [texts.attempts_left(count) for count in range(_MOST_ATTEMPTS + 1)],
        "code_labels": [texts.code_label(count or None) for count in range(_LONGEST_CODE + 1)],
        "last_digits": [texts.last_digits(count or None) for count in range(_LONGEST_CODE + 1)],
        "style": _style(),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _field(number: NumberHelp, texts: Texts) -> dict[str, str]:
    """Return the attributes of the number field, as in the template `number.html`."""
    words = {"countries": "country", "found": "countries_found", "none": "no_country"} if number.abroad else {}
    return {
        "data-pv-phone": number.region,
        "data-pv-first": number.country,
        "data-pv-code": number.calling_code,
        **{f"data-pv-{name}": texts.page[key] for name, key in words.items()},
    }


def _channel(site: Site, texts: Texts, channel: Channel, *, first: bool) -> dict[str, object]:
    choice = choice_of(site, texts, channel, recommended=first)
    announced = channel is Channel.INBOUND_CALL and choice.help == texts.announced_help
    dial_help = texts.page["dial_help_announced" if announced else "dial_help"]
    return {
        "value": choice.value,
        "label": choice.label,
        "help": choice.help,
        "time": choice.time,
        "recommended": choice.recommended,
        **({"dial_help": dial_help} if channel is Channel.INBOUND_CALL else {}),
    }


@cache
def _style() -> str:
    return files(__package__).joinpath("client", "element.css").read_text("utf-8")
