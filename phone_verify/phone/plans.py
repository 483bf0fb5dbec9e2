"""Regions whose numbers people take for those of one country."""

from __future__ import annotations

from collections.abc import Set

#: France and its overseas departments: several calling codes, one national form (ARCEP's plan).
_FRENCH = frozenset({"BL", "FR", "GF", "GP", "MF", "MQ", "PM", "RE", "YT"})


def shared_plans() -> list[Set[str]]:
    """Return the groups of regions that share a numbering plan: a calling code, or a national form."""
    import phonenumbers

    groups = [frozenset(regions) for regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.values()]
    return [_FRENCH, *(group for group in groups if len(group) > 1 and not group & _FRENCH)]
