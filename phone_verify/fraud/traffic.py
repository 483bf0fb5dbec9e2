"""Points for traffic: pure rules over what was counted.

A range of which few orders are verified closes to networks whose own orders were not verified; others
may still send there. So an attacker cannot close a range to its users by orders of the attacker's own,
and needs many networks to exhaust the allowance of unknown ones, which starts again every hour. A
network closes by itself only if hardly any of its users was verified in the time that its counts
represent, and verified users open it again. The other rules do not reach the default score of a refusal alone.
"""

from __future__ import annotations

from datetime import timedelta

from ..conversions import Conversion

#: The most points of a range, and of a network.
MOST_CONVERSION = 50
MOST_NETWORK = 40
SPEED_POINTS = 20
HUNDRED_POINTS = 30
THOUSAND_POINTS = 20
ALLOWANCE_POINTS = 60
CLOSED_POINTS = 60
#: From this number of points on a range is under attack: unknown networks share an allowance.
ATTACKED = 35
#: The weight of points of an order by server code, which follows a password or a decision of the site.
WEIGHT_OF_SERVER_CODE = 0.5

#: The conversion rate that is expected of the worst honest range. Real rates are from 75 to 95 %, less
#: those users who still type.
EXPECTED = 0.6
#: Orders of which nothing is known are taken to convert as expected: this many for each range.
_ASSUMED = 12.0
#: A range without points, and one with all of them: how far its rate is below the expected one.
_MISSING_LEAST, _MISSING_MOST = 0.2, 0.8
#: Unverified orders of a network without points, and with all of them.
_UNVERIFIED_LEAST, _UNVERIFIED_MOST = 2.2, 4.0
#: A network without a verified user is closed after the first number of orders, and after the second more for a
#: verified one; two keep it open. In each such period one order passes, by which an honest user can open it.
CLOSED_AFTER, _CLOSED_AFTER_VERIFIED, _KEEPS_OPEN = 5.0, 20.0, 1.5
CLOSED_WINDOW = timedelta(days=7)
#: A network around others, a /48 of IPv6, needs a multiple of their orders for the same points.
SIZE_OF_NETWORK_AROUND = 10
#: Orders per hour to a range that need no explanation, and how many each verified one explains.
_SPEED, _SPEED_PER_VERIFIED = 20, 2
#: Orders per hour of neighbouring numbers, and how many verified ones of their prefix explain one more.
HUNDRED_LIMIT, THOUSAND_LIMIT = 5, 15
#: Orders per hour that unknown networks may send to a range under attack.
ALLOWANCE = 30


def conversion_points(counts: Conversion) -> int:
    """Return the points of a range: 0 if it converts as expected, all if nearly nothing is verified."""
    sent, verified = max(counts.sent, 0.0), max(counts.verified, 0.0)
    rate = (verified + EXPECTED * _ASSUMED) / (sent + _ASSUMED)
    return _between(1 - rate / EXPECTED, _MISSING_LEAST, _MISSING_MOST, MOST_CONVERSION)


def network_points(counts: Conversion) -> int:
    """Return the points of a network by its earlier orders; each verified one balances two."""
    return _between(counts.sent - 2 * counts.verified, _UNVERIFIED_LEAST, _UNVERIFIED_MOST, MOST_NETWORK)


def is_closed(counts: Conversion) -> bool:
    """Return whether many orders of a network were sent, and hardly any was verified."""
    verified = max(counts.verified, 0.0)
    return verified < _KEEPS_OPEN and counts.sent >= CLOSED_AFTER + _CLOSED_AFTER_VERIFIED * verified


def is_known(counts: Conversion) -> bool:
    """Return whether at least every second order of a network, and at least one, was verified."""
    return counts.verified >= 0.5 and counts.sent <= 2 * counts.verified


def speed_limit(counts: Conversion) -> int:
    """Return how many orders per hour the verified traffic of a range explains."""
    return _SPEED + int(_SPEED_PER_VERIFIED * max(counts.verified, 0.0))


def allowance(counts: Conversion) -> int:
    """Return how many orders per hour unknown networks may send to a range under attack."""
    return ALLOWANCE + int(max(counts.verified, 0.0))


def _between(value: float, least: float, most: float, points: int) -> int:
    return round(points * min(max((value - least) / (most - least), 0.0), 1.0))
