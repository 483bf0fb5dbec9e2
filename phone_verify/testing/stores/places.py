"""Places of requests with an idempotency key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ...stores.base import KEPT_FOR, RESERVED_FOR, Place, Reservation, Store
from ..clock import ManualClock
from .case import KEYRING, LINE, OTHER_LINE, OTHER_PHONE, PHONE, StoreCase, run

_SECOND = 1.0
_SEALED = "c2VhbGVk" * 500


def reservation(holder: str = "a", *clients: str, key: str = "key", request: str = "request") -> Reservation:
    """Return a reservation of this holder under the names of these clients."""
    names = [KEYRING.place(key, client) for client in clients or ("client",)]
    return Reservation(names, holder * 22, KEYRING.request_digest(request), KEYRING.tag(PHONE))


class PlacePromises(StoreCase):
    """A place belongs to the first request, until it is released or ends."""

    def reserve(self, store: Store, clock: ManualClock, wanted: Reservation) -> Place:
        """Reserve, and return the place without its time, which must be that of the step."""
        place = run(store.reserve(wanted, clock()))
        assert place.read_at == clock()
        return place

    def taken(self, store: Store, clock: ManualClock, wanted: Reservation) -> bool:
        """Reserve, and return whether this reservation has the place."""
        return self.reserve(store, clock, wanted).holder == wanted.holder

    def keep(self, store: Store, clock: ManualClock, wanted: Reservation, also: str | None = None) -> bool:
        """Keep a response."""
        return run(store.keep_response(wanted, _SEALED, also, clock()))

    def test_first_reservation_takes_the_place(self, store: Store, clock: ManualClock) -> None:
        first, second = reservation("a"), reservation("b", request="another")
        assert self.reserve(store, clock, first) == Place(first.holder, first.request, None, clock())
        clock.move(_SECOND)
        assert self.reserve(store, clock, second) == Place(first.holder, first.request, None, clock())

    def test_places_of_other_clients_and_keys_are_apart(self, store: Store, clock: ManualClock) -> None:
        assert self.taken(store, clock, reservation("a"))
        assert self.taken(store, clock, reservation("b", "another client"))
        assert self.taken(store, clock, reservation("c", key="KEY")), "names differ in case only"

    def test_kept_response_is_returned_for_ten_minutes(self, store: Store, clock: ManualClock) -> None:
        first = reservation("a")
        assert self.taken(store, clock, first)
        clock.move(20)
        assert self.keep(store, clock, first)
        clock.move(KEPT_FOR.total_seconds() - 0.000001)
        repeated = self.reserve(store, clock, reservation("b"))
        assert repeated == Place(first.holder, first.request, _SEALED, clock())
        clock.move(0.000001)
        assert self.taken(store, clock, reservation("b")), "free again"

    def test_response_is_found_in_the_other_place_too(self, store: Store, clock: ManualClock) -> None:
        first, also = reservation("a"), KEYRING.place("key", "a secret")
        assert self.taken(store, clock, first)
        assert self.keep(store, clock, first, also)
        found = self.reserve(store, clock, reservation("b", "new cookies", "a secret"))
        assert (found.holder, found.response) == (first.holder, _SEALED)
        found = self.reserve(store, clock, reservation("b", "client"))
        assert (found.holder, found.response) == (first.holder, _SEALED)
        assert self.taken(store, clock, reservation("b", "new cookies")), "nothing was taken by the look-up"

    def test_first_name_that_is_taken_counts(self, store: Store, clock: ManualClock) -> None:
        for holder, client in (("a", "one"), ("b", "two"), ("c", "three")):
            assert self.taken(store, clock, reservation(holder, client))
        assert self.keep(store, clock, reservation("c", "three"))
        found = [
            self.reserve(store, clock, reservation("d", *clients)).holder[0]
            for clients in (("none", "two", "one"), ("three", "one"), ("none", "one", "three", "two"))
        ]
        assert found == ["b", "c", "a"]

    def test_place_is_free_after_its_holder_crashed(self, store: Store, clock: ManualClock) -> None:
        assert self.taken(store, clock, reservation("a"))
        clock.move(RESERVED_FOR.total_seconds() - 0.000001)
        assert not self.taken(store, clock, reservation("b"))
        clock.move(0.000001)
        second = reservation("b", request="another")
        assert self.reserve(store, clock, second) == Place(second.holder, second.request, None, clock())

    def test_place_is_taken_as_long_as_wanted(self, store: Store, clock: ManualClock) -> None:
        wanted = replace(reservation("a"), lasts=timedelta(minutes=17))
        assert self.taken(store, clock, wanted)
        clock.move(17 * 60 - 0.000001)
        assert not self.taken(store, clock, reservation("b"))
        clock.move(0.000001)
        assert self.taken(store, clock, reservation("b"))

    def test_places_are_read_without_taking_any(self, store: Store, clock: ManualClock) -> None:
        names = [KEYRING.line_place(line) for line in (LINE, OTHER_LINE, PHONE)]
        assert run(store.places(names, clock())) == [None, None, None]
        for holder, name in zip("ab", names[1:], strict=True):
            assert self.taken(store, clock, replace(reservation(holder), names=[name]))
        clock.move(1)
        found = run(store.places([names[2], names[0], names[1]], clock()))
        assert [place and (place.holder[0], place.request, place.response, place.read_at) for place in found] == [
            ("b", KEYRING.request_digest("request"), None, clock()),
            None,
            ("a", KEYRING.request_digest("request"), None, clock()),
        ]
        clock.move(RESERVED_FOR.total_seconds())
        assert run(store.places(names, clock())) == [None, None, None]
        assert self.taken(store, clock, replace(reservation("c"), names=[names[1]]))

    def test_late_holder_changes_nothing(self, store: Store, clock: ManualClock) -> None:
        first, second = reservation("a"), reservation("b", request="another")
        assert self.taken(store, clock, first)
        clock.move(RESERVED_FOR.total_seconds())
        assert self.taken(store, clock, second)
        assert not self.keep(store, clock, first, KEYRING.place("key", "a secret"))
        run(store.release(first, clock()))
        assert self.reserve(store, clock, reservation("c")).holder == second.holder
        assert self.taken(store, clock, reservation("c", "a secret"))

    def test_ended_reservation_keeps_no_response(self, store: Store, clock: ManualClock) -> None:
        assert self.taken(store, clock, reservation("a"))
        clock.move(RESERVED_FOR.total_seconds())
        assert not self.keep(store, clock, reservation("a"))
        assert self.taken(store, clock, reservation("b"))

    def test_released_place_is_free_for_any_request(self, store: Store, clock: ManualClock) -> None:
        first, second = reservation("a"), reservation("b", request="another")
        assert self.taken(store, clock, first)
        run(store.release(first, clock()))
        assert self.reserve(store, clock, second) == Place(second.holder, second.request, None, clock())
        run(store.release(reservation("c"), clock()))
        assert not self.taken(store, clock, reservation("d"))

    def test_erase_removes_the_responses_of_the_phone(self, store: Store, clock: ManualClock) -> None:
        first, also = reservation("a"), KEYRING.place("key", "a secret")
        other = replace(reservation("b", key="other"), tag=KEYRING.tag(OTHER_PHONE))
        for wanted, second in ((first, also), (other, None)):
            assert self.taken(store, clock, wanted)
            assert self.keep(store, clock, wanted, second)
        assert run(store.erase(first.tag, clock())) == 0, "counts records only"
        assert self.taken(store, clock, reservation("c"))
        assert self.taken(store, clock, reservation("d", "a secret"))
        assert not self.taken(store, clock, reservation("e", key="other")), "of another phone"


class PlaceSweeping(StoreCase):
    """Places are purged, by reservations and by `purge`."""

    def test_expired_places_are_purged(self, store: Store, clock: ManualClock) -> None:
        for n in range(5):
            wanted = reservation("a", f"client {n}")
            run(store.reserve(wanted, clock()))
            if n % 2:
                run(store.keep_response(wanted, _SEALED, KEYRING.place("key", f"secret {n}"), clock()))
        clock.move(KEPT_FOR.total_seconds() + 1)
        assert run(store.purge(2, clock())) == 2
        assert run(store.purge(100, clock())) == 3 + 2
        assert run(store.purge(100, clock())) == 0

    def test_reservations_purge_expired_places(self, store: Store, clock: ManualClock) -> None:
        for n in range(30):
            wanted = reservation("a", f"client {n}")
            run(store.reserve(wanted, clock()))
            run(store.keep_response(wanted, _SEALED, KEYRING.place("key", f"secret {n}"), clock()))
            clock.move(KEPT_FOR.total_seconds() + 1)
        assert run(store.purge(1000, clock())) <= 10
