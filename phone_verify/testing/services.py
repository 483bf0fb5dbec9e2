"""The suite that services kept as rows must pass: the contract of `services/base.py`.

class TestMyRows(ServiceRowsSuite):
    @pytest.fixture
    def rows(self):
        return MyServiceRows(…)
"""

from __future__ import annotations

import pytest

from ..services.base import RetiredNameError, ServiceRow, ServiceRows
from ..sync import run
from .stores.case import together

_THREADS = 8
_DOCUMENT = {
    "title": "Пример 🛒",
    "public": True,
    "channels": ["sms", "flash_call"],
    "texts": {"*": {"fa": "کد {code}"}},
}


class ServiceRowsSuite:
    """Subclasses define the fixture `rows`: an empty store."""

    def end_thread(self) -> None:
        """Called in each thread of a race as it ends: close what the store keeps per thread."""

    def test_service_is_loaded_as_it_was_saved(self, rows: ServiceRows) -> None:
        version = run(rows.save("shop", _DOCUMENT, 0))
        assert version
        assert run(rows.load("shop")) == ServiceRow("shop", version, _DOCUMENT)
        assert run(rows.versions()) == {"shop": version}
        assert run(rows.version()) == version

    def test_empty_store_has_no_services(self, rows: ServiceRows) -> None:
        assert run(rows.versions()) == {}
        for name in ("shop", "SHOP", "shop ", "", "%", "é"):
            assert run(rows.load(name)) is None

    def test_names_are_compared_exactly(self, rows: ServiceRows) -> None:
        run(rows.save("shop", {}, 0))
        for name in ("Shop", "shop ", "sho_", "shopx"):
            assert run(rows.load(name)) is None, name

    def test_every_change_has_a_higher_version(self, rows: ServiceRows) -> None:
        first = run(rows.save("shop", {"title": "One"}, 0)) or 0
        other = run(rows.save("bank", {}, 0)) or 0
        second = run(rows.save("shop", {"title": "Two"}, first)) or 0
        assert 0 < first < other < second == run(rows.version())
        assert run(rows.versions()) == {"bank": other, "shop": second}

    def test_lost_update_is_refused(self, rows: ServiceRows) -> None:
        first = run(rows.save("shop", {"title": "One"}, 0)) or 0
        assert run(rows.save("shop", {"title": "Two"}, first)) is not None
        assert run(rows.save("shop", {"title": "Three"}, first)) is None
        assert run(rows.save("shop", {"title": "Four"}, 0)) is None, "it is not new"
        assert run(rows.save("bank", {"title": "Five"}, first)) is None, "it does not exist"
        found = run(rows.load("shop"))
        assert found is not None
        assert found.document == {"title": "Two"}
        assert run(rows.load("bank")) is None

    def test_delete_needs_the_current_version(self, rows: ServiceRows) -> None:
        first = run(rows.save("shop", {}, 0)) or 0
        second = run(rows.save("shop", {}, first)) or 0
        assert not run(rows.delete("shop", first, retire=True))
        assert run(rows.load("shop")) is not None
        before = run(rows.version())
        assert run(rows.delete("shop", second, retire=True))
        assert run(rows.load("shop")) is None
        assert run(rows.version()) > before, "other processes must see that it is gone"
        assert not run(rows.delete("shop", second, retire=True))

    def test_name_of_a_deleted_service_is_retired(self, rows: ServiceRows) -> None:
        first = run(rows.save("shop", {"title": "One"}, 0)) or 0
        run(rows.save("bank", {}, 0))
        assert run(rows.delete("shop", first, retire=True))
        last = run(rows.version())
        with pytest.raises(RetiredNameError):
            run(rows.save("shop", {"title": "Two"}, 0))
        for version in (first, last):
            assert run(rows.save("shop", {"title": "Two"}, version)) is None
            assert not run(rows.delete("shop", version, retire=False))
        assert run(rows.load("shop")) is None
        assert [*run(rows.versions())] == ["bank"]

    def test_version_of_a_deleted_service_never_recurs(self, rows: ServiceRows) -> None:
        first = run(rows.save("shop", {}, 0)) or 0
        run(rows.delete("shop", first, retire=False))
        again = run(rows.save("shop", {}, 0)) or 0
        assert again > first
        assert run(rows.save("shop", {"title": "Old"}, first)) is None

    def test_one_of_concurrent_editors_succeeds(self, rows: ServiceRows) -> None:
        """Also the very first changes of all, of different services, in which the version begins."""
        made = together(_THREADS, lambda number: run(rows.save(f"service_{number}", {}, 0)), self.end_thread)
        assert len({*made}) == _THREADS
        assert None not in made
        version = run(rows.save("shop", {}, 0)) or 0
        saved = together(
            _THREADS, lambda number: run(rows.save("shop", {"title": str(number)}, version)), self.end_thread
        )
        assert sum(each is not None for each in saved) == 1
        assert run(rows.version()) >= max(each for each in saved if each is not None)
