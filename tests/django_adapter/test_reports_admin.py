"""Reports in the admin site: who sees them, and what the framework adds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import AsyncClient, Client, override_settings

from phone_verify.testing.ledger_calls import SENT, attempt, later, run
from phone_verify_django import staff_pages
from phone_verify_django.services.ledger_store import OrmLedger

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.django_adapter.admin_urls")]

REPORTS = "/admin/phone_verify_services/quarter/"
DAY = "from=2030-01-01&to=2030-01-01"
BACKENDS = ["django.contrib.auth.backends.ModelBackend", "phone_verify_django.backends.PhoneBackend"]


@pytest.fixture(autouse=True)
def _with_ledger() -> Any:
    with override_settings(PHONE_VERIFY={"sms": "console://", "ledger": "orm:"}, AUTHENTICATION_BACKENDS=BACKENDS):
        yield


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user, BACKENDS[0])
    return browser


def test_staff_sees_reports_and_downloads_them() -> None:
    held = run(OrmLedger().begin(attempt(), [], None, later(0)))
    run(OrmLedger().finish(held.attempt, SENT, later(1)))  # type: ignore[union-attr]
    browser = staff("view_attempt")
    assert REPORTS in browser.get("/admin/").content.decode()
    page = browser.get(f"{REPORTS}?{DAY}")
    assert page.status_code == 200
    assert "0.0100\u00a0EUR" in page.content.decode()
    assert browser.get(f"{REPORTS}chart.svg?{DAY}&kind=volume").headers["Content-Type"].startswith("image/svg+xml")
    assert browser.get(f"{REPORTS}attempts/?{DAY}").content.decode().count("amoot") == 1
    file = browser.get(f"{REPORTS}attempts.csv?{DAY}")
    assert b"".join(file.streaming_content).count(b"\n") == 2  # type: ignore[attr-defined]
    assert browser.get(f"{REPORTS}?from=x").status_code == 400
    assert browser.get(f"{REPORTS}x/").status_code == 404


def test_zone_of_the_site_may_have_no_slash() -> None:
    with override_settings(TIME_ZONE="Iran"):
        page = staff("view_attempt").get(REPORTS)
    assert page.status_code == 200
    assert 'value="Iran"' in page.content.decode()


def test_command_reports_what_the_admin_shows(tmp_path: Path) -> None:
    held = run(OrmLedger().begin(attempt(), [], None, later(0)))
    run(OrmLedger().finish(held.attempt, SENT, later(1)))  # type: ignore[union-attr]
    file = tmp_path / "report.csv"
    days = ("--from", "2030-01-01", "--to", "2030-01-01")
    call_command("phone_verify_report", *days, "--by", "driver", "--format", "csv", "--output", str(file))
    assert "\namoot,1,1," in file.read_text("utf-8-sig")
    call_command("phone_verify_report", *days, "--attempts", "-o", str(file))
    assert file.read_text("utf-8-sig").count("amoot") == 1
    with pytest.raises(CommandError, match="--zone"):
        call_command("phone_verify_report", "--zone", "nowhere")


def test_time_zone_is_that_of_the_site() -> None:
    with override_settings(TIME_ZONE="Asia/Tehran"):
        assert 'value="Asia/Tehran"' in staff("view_attempt").get(REPORTS).content.decode()


@pytest.mark.parametrize("path", ["", "attempts/", "attempts.csv", "chart.svg", "reports.css"])
def test_other_users_do_not_see_reports(path: str) -> None:
    assert staff("view_accesskeyrow").get(REPORTS + path).status_code == 403
    assert Client().get(REPORTS + path).status_code == 302


class Counting:
    """Ten pages of a list of attempts, counted as they are read."""

    def __init__(self) -> None:
        self.read = 0

    async def attempts(self, _selection: Any, _after: Any, limit: int, **_: Any) -> list[Any]:
        self.read += 1
        return [attempt(n) for n in range(limit)] if self.read < 10 else []


def test_asgi_sends_a_file_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    aggregates = Counting()
    monkeypatch.setattr(staff_pages, "_aggregates", lambda _: aggregates)
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_attempt"))

    async def download() -> tuple[int, bytes]:
        browser = AsyncClient()
        await browser.aforce_login(user, BACKENDS[0])
        response: Any = await browser.get(f"{REPORTS}attempts.csv?{DAY}")
        assert response.is_async
        chunks = aiter(response)
        first = await anext(chunks)
        read = aggregates.read
        return read, first + b"".join([chunk async for chunk in chunks])

    read, content = async_to_sync(download)()
    assert read == 1
    assert aggregates.read == 10
    assert content.count(b"\n") == 9 * 2000 + 1


def test_asgi_closes_a_file_that_nobody_reads_to_its_end() -> None:
    with tempfile.SpooledTemporaryFile() as file:
        file.write(b"x" * 200_000)
        file.seek(0)

        def chunks() -> Iterator[bytes]:
            with file:
                while chunk := file.read(1000):
                    yield chunk

        async def leave() -> None:
            made = staff_pages._made_in_thread(chunks())
            await anext(made)
            await made.aclose()  # type: ignore[attr-defined]

        async_to_sync(leave)()
        assert file.closed


def test_site_without_a_ledger_has_no_reports() -> None:
    with override_settings(PHONE_VERIFY={"sms": "console://"}):
        browser = staff("view_attempt")
        assert REPORTS not in browser.get("/admin/").content.decode()
        assert browser.get(REPORTS).status_code == 404
