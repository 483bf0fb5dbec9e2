"""Numbers, amounts and times as people read them, in the digits and separators of a language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ..i18n.languages import Language
from ..i18n.report_texts import report_texts

#: Of thousands, of decimals, and what follows a percentage.
_SEPARATORS = {"fa": ("٬", "٫", "٪"), "ru": ("\u00a0", ",", "\u00a0%"), "ar": ("٬", "٫", "٪")}
_ENGLISH = (",", ".", "%")
_NOTHING = "–"
_SEPARATOR, _MARK = re.compile("[- :]"), "\u200e"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Writes numbers in a language."""

    language: Language

    def count(self, value: int) -> str:
        """Return a whole number."""
        return self._written(f"{value:,}")

    def percent(self, share: float | None, places: int = 1) -> str:
        """Return a share of one as a percentage; a dash for None."""
        return _NOTHING if share is None else self._written(f"{share * 100:.{places}f}") + self._separators[2]

    def amount(self, amount: Decimal, currency: str) -> str:
        """Return an amount of money with its currency: four digits after the point below one, otherwise two."""
        places = 4 if 0 < abs(amount) < 1 else 2
        return f"{self._written(f'{amount:,.{places}f}')}\u00a0{currency}".rstrip()

    def exact(self, amount: Decimal | None) -> str:
        """Return an amount with all its digits after the point, two at least; a dash for None."""
        if amount is None:
            return _NOTHING
        whole, _, part = f"{amount:,f}".partition(".")
        return self._written(f"{whole}.{part.rstrip('0').ljust(2, '0')}")

    def amounts(self, amounts: dict[str, Decimal]) -> str:
        """Return amounts in several currencies; a dash for none."""
        written = [self.amount(amount, currency) for currency, amount in sorted(amounts.items())]
        return " + ".join(written) or _NOTHING

    def seconds(self, value: float | None) -> str:
        """Return a number of seconds; a dash for None."""
        if value is None:
            return _NOTHING
        return report_texts(self.language)["seconds"].format(count=self._written(f"{value:,.1f}"))

    def milliseconds(self, value: int | None) -> str:
        """Return a number of milliseconds; a dash for None."""
        if value is None:
            return _NOTHING
        return report_texts(self.language)["milliseconds"].format(count=self.count(value))

    def change(self, now: float, before: float) -> str:
        """Return how much a value has changed, in percent with its sign; empty if it began at 0."""
        if not before:
            return ""
        share = round((now - before) / before, 2)
        sign = "+" if share > 0 else "−" if share < 0 else "±"
        # Isolated: the sign would change sides in right-to-left text.
        return f"\u2066{sign}{self._written(f'{abs(share) * 100:,.0f}')}{self._separators[2]}\u2069"

    def time(self, at: datetime, form: str = "%Y-%m-%d %H:%M:%S") -> str:
        """Return a date or a time, read from left to right in every language."""
        text = "".join(self.language.digits[int(c)] if c in "0123456789" else c for c in at.strftime(form))
        if self.language.direction == "ltr":
            return text
        # Arabic digits on both sides of a separator would change places without the marks around it.
        marked = _SEPARATOR.sub(rf"{_MARK}\g<0>{_MARK}", text)
        return f"\u2066{marked}\u2069"

    def plain(self, value: float) -> str:
        """Return a number of an axis, without needless digits after the point."""
        return self._written(f"{value:,.2f}".rstrip("0").rstrip("."))

    @property
    def _separators(self) -> tuple[str, str, str]:
        return _SEPARATORS.get(self.language.tag, _ENGLISH)

    def _written(self, text: str) -> str:
        thousands, decimals, _ = self._separators
        changed = {",": thousands, ".": decimals, "-": "−"}
        return "".join(self.language.digits[int(c)] if c.isdigit() else changed.get(c, c) for c in text)
