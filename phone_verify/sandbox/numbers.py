"""Phone numbers in the providers' formats, converted to E.164 and back.

A sandbox must accept every format that a real provider accepts, so these rules go by shape alone:
whether a number is actually assigned is for the program under test to decide.
"""

import re
from dataclasses import dataclass

_GROUPING = re.compile(r"[ \u00a0().\-]")
_DIGITS = re.compile(r"(?P<prefix>\+|00)?(?P<digits>[0-9]{5,15})", re.ASCII)
_BOUND_CODE = re.compile(r"#([0-9]{3,10})\s*$", re.ASCII)
_HOST = re.compile(r"(?:https?://|@)\S+|\b[\w-]+(?:\.[\w-]+)+(?::[0-9]+)?", re.ASCII)
_CODE = re.compile(r"(?<![0-9])[0-9]{3,10}(?![0-9])", re.ASCII)
_APART = re.compile(r"(?<!\d)\d(?:[\s.,،\-]+\d)+(?!\d)")
_E164_LENGTHS = range(8, 16)
_LONGEST_WRITING = 40
_SHORTEST_SPOKEN = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How one country writes its numbers: `trunk` before `length` national digits, the first of
    them in `leading`.
    """

    country: str
    trunk: str
    leading: str
    length: int = 10

    def to_e164(self, written: object) -> str | None:
        """Parse a number in any usual format, including this country's national ones; None if it is
        invalid.
        """
        parts = _split(written)
        if parts is None:
            return None
        explicit, digits = parts
        if explicit:
            return _e164(digits)
        if self._is_national(digits):
            return f"+{self.country}{digits}"
        if digits.startswith(self.trunk) and self._is_national(digits.removeprefix(self.trunk)):
            return f"+{self.country}{digits.removeprefix(self.trunk)}"
        return _e164(digits)

    def with_trunk(self, phone: str) -> str:
        """Format an E.164 number as this country dials it; another country's number keeps its own
        code.
        """
        return self._written(phone, self.trunk)

    def bare(self, phone: str) -> str:
        """Format an E.164 number by its national digits alone; another country's number keeps its
        own code.
        """
        return self._written(phone, "")

    def _written(self, phone: str, prefix: str) -> str:
        national = phone.removeprefix(f"+{self.country}")
        if national != phone and len(national) == self.length:
            return prefix + national
        return phone.removeprefix("+")

    def _is_national(self, digits: str) -> bool:
        return len(digits) == self.length and digits[0] in self.leading


IRAN = Plan("98", trunk="0", leading="9")
RUSSIA = Plan("7", trunk="8", leading="3456789")


def code_in(text: str) -> str:
    """Return the code in a message, or an empty string.

    The last line `@host #code`, which phones fill in, is unambiguous. Otherwise the code is the
    longest run of 3 to 10 digits outside host names and addresses, the first of equal ones: a
    site's name can contain digits too.
    """
    _, _, last = text.rstrip().rpartition("\n")
    if bound := _BOUND_CODE.search(last):
        return bound[1]
    return max(_CODE.findall(_HOST.sub(" ", text)), key=len, default="")


def spoken_code_in(text: str) -> str:
    """Return the code in a text for speech, or an empty string: the longest run of single digits,
    as in `4. 8. 2. 1.`, of any script, else as in a message.
    """
    runs = ["".join(str(int(each)) for each in run if each.isdecimal()) for run in _APART.findall(text)]
    return max((run for run in runs if len(run) >= _SHORTEST_SPOKEN), key=len, default="") or code_in(text)


def read_number(written: object) -> str | None:
    """Parse a number without a provider that implies its country; None if it is invalid.

    Full national formats (`09…`, `8…` with eleven digits) are accepted, because they are
    unambiguous. Ten digits alone could be Iranian or Russian, so those need their country code.
    """
    parts = _split(written)
    if parts is None:
        return None
    explicit, digits = parts
    if not explicit:
        for plan in (IRAN, RUSSIA):
            if digits.startswith(plan.trunk) and len(digits) == plan.length + len(plan.trunk):
                return plan.to_e164(digits)
        if len(digits) == IRAN.length and digits[0] in IRAN.leading:
            return None
    return _e164(digits)


def _split(written: object) -> tuple[bool, str] | None:
    """Return whether the country code is explicit, and the digits."""
    if isinstance(written, int) and not isinstance(written, bool):
        # Not str(): the text of a malicious integer can exceed Python's conversion limit.
        written = f"{written}" if 0 < written < 10**15 else ""
    if not isinstance(written, str) or len(written) > _LONGEST_WRITING:
        return None
    match = _DIGITS.fullmatch(_GROUPING.sub("", written))
    return (match["prefix"] is not None, match["digits"]) if match else None


def _e164(digits: str) -> str | None:
    return f"+{digits}" if len(digits) in _E164_LENGTHS and digits[0] != "0" else None
