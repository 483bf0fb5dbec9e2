"""The names of values, as people read them in a language."""

from __future__ import annotations

from collections.abc import Mapping

from ..i18n.languages import Language
from ..i18n.report_texts import report_texts
from ..i18n.texts import texts_in
from ..model import Channel
from .figures import FILTERS
from .reading import OUTCOMES, Order


class Labels:
    """Names of channels, results, reasons and access keys; other values are their own names."""

    def __init__(self, language: Language, key_names: Mapping[str, str]) -> None:
        texts = report_texts(language)
        channels = {channel.value: name for channel, name in texts_in(language).channels.items()}
        channels[Channel.INBOUND_CALL.value] = texts["inbound_call"]
        reasons = ("bad_number", "configuration", "balance", "rate", "transient")
        self._texts = texts
        self._names: dict[str, Mapping[str, str]] = {
            "channel": channels,
            "access_key": {**key_names, "": texts["no_key"]},
            "outcome": {name: texts[name] for name in OUTCOMES},
            "refusal": {**{name: texts[name] for name in reasons}, "unknown": texts["unknown_reason"]},
        }

    def of(self, name: str, value: str) -> str:
        """Return the name of a value of a dimension, or of an outcome."""
        return self._names.get(name, {}).get(value, value) or self._texts["unknown"]

    def chosen(self, order: Order) -> list[tuple[str, str]]:
        """Return the filters of an order, as a heading and a name each."""
        found = {name: order.values[name] for name in FILTERS if name in order.values}
        found |= {name: value for name in ("outcome", "refusal") if (value := getattr(order, name))}
        return [(self._texts[name], self.of(name, value)) for name, value in found.items()]
