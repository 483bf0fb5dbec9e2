"""Reports on Flask: who sees them, the frame and the links of the pages of staff, and the viewer's time zone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phone_verify.i18n.languages import LANGUAGES
from phone_verify.keys.orders import make_key, read_order
from phone_verify.staff.call import Right
from phone_verify.staff.rendering import staff_texts
from phone_verify.testing.ledger_calls import attempt, later, run
from phone_verify_flask.dashboard import dashboard
from tests.ledger_files import with_tables

from .sites import Made, make

DAY = "from=2030-01-01&to=2030-01-01"
PATHS = ("", "attempts/", "downloads/", "attempts.csv", "attempts.xlsx", "chart.svg", "reports.css")


def site(tmp_path: Path, *rights: Right, ledger: bool = True, **options: Any) -> Made:
    own = {"PHONE_VERIFY_LEDGER": with_tables(tmp_path / "services.sqlite3")} if ledger else {}
    made = make(**own, PHONE_VERIFY_SITE_NAME="Example")
    made.app.register_blueprint(dashboard(lambda right: right in rights, **options), url_prefix="/staff")
    if ledger:
        run(made.app.extensions["phone_verify"].site.verifier.flows.ledger.ledger.begin(attempt(), [], None, later(0)))
    return made


def test_user_with_the_right_sees_reports_and_downloads_them(tmp_path: Path) -> None:
    client = site(tmp_path, Right.REPORTS).app.test_client()
    page = client.get("/staff/reports/", headers={"Accept-Language": "fa"})
    assert page.status_code == 200
    assert 'dir="rtl"' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "no-store" in page.headers["Cache-Control"]
    assert client.get(f"/staff/reports/attempts/?{DAY}").text.count("amoot") == 1
    assert client.get(f"/staff/reports/chart.svg?{DAY}&kind=volume").mimetype == "image/svg+xml"
    assert client.get("/staff/reports/reports.css").mimetype == "text/css"
    file = client.get(f"/staff/reports/attempts.xlsx?{DAY}")
    assert file.content_length == len(file.data)
    assert client.get("/staff/reports/nothing").status_code == 404
    assert client.get("/staff/reports/?from=x").status_code == 400


@pytest.mark.parametrize("path", PATHS)
def test_other_users_do_not_see_reports(tmp_path: Path, path: str) -> None:
    client = site(tmp_path, Right.VIEW, Right.TEST).app.test_client()
    assert client.get(f"/staff/reports/{path}").status_code == 403
    assert "reports/" not in client.get("/staff/").text


@pytest.mark.parametrize("path", PATHS)
def test_site_without_a_ledger_has_no_reports(tmp_path: Path, path: str) -> None:
    client = site(tmp_path, *Right, ledger=False).app.test_client()
    assert client.get(f"/staff/reports/{path}").status_code == 404
    assert "reports/" not in client.get("/staff/").text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_has_one_frame_and_links_to_the_others(tmp_path: Path, language: str) -> None:
    client = site(tmp_path, *Right, home=lambda: "/home").app.test_client()
    texts = staff_texts(LANGUAGES[language])
    frames = set()
    for path in ("", "keys/", "deliveries/", "test/", "reports/", "reports/attempts/", "reports/downloads/"):
        text = client.get(f"/staff/{path}", headers={"Accept-Language": language}).text
        links = dict(re.findall(r'<li><a href="/staff/([^"]*)"[^>]*>([^<]+)</a></li>', text))
        assert links == {"": texts["services"], "keys/": texts["keys"], "deliveries/": texts["deliveries"],
                         "test/": texts["test"], "reports/": texts["reports"]}, path  # fmt: skip
        assert 'href="/home"' in text
        assert 'href="/staff/static/staff.css"' in text
        frames.add(re.sub(r"<main>.*</main>|<title>.*</title>| aria-current=\"page\"", "", text, flags=re.DOTALL))
    assert len(frames) == 1


def test_page_below_a_part_links_to_all_above_it(tmp_path: Path) -> None:
    client = site(tmp_path, *Right).app.test_client()

    def trail(path: str) -> list[str]:
        found = re.findall(r'<nav class="staff-trail".*?</nav>', client.get(f"/staff/{path}").text, re.DOTALL)
        return re.findall(r'href="([^"]*)"', "".join(found))

    assert trail("") == []
    assert trail("services/default/") == ["/staff/"]
    assert trail("balance/default/") == ["/staff/", "/staff/services/default/"]
    assert trail("reports/attempts/") == ["/staff/reports/"]


def test_all_pages_use_the_time_zone_of_the_viewer(tmp_path: Path) -> None:
    made = site(tmp_path, *Right, time_zone=lambda: "Asia/Tehran")
    client = made.app.test_client()
    assert 'value="Asia/Tehran"' in client.get("/staff/reports/").text
    keys = made.app.extensions["phone_verify"].site.verifier.flows.keys.store
    order = read_order(name="Shop", expires="90d", now=later(0))
    run(keys.add(make_key(order, lambda count: b"\1" * count, later(0)).key))
    page = client.get("/staff/keys/").text
    assert order.expires_at is not None
    assert f"{order.expires_at.astimezone(ZoneInfo('Asia/Tehran')):%Y-%m-%d %H:%M:%S}" in page
    assert "Asia/Tehran" in page


def test_unknown_time_zone_is_utc(tmp_path: Path) -> None:
    client = site(tmp_path, *Right, time_zone=lambda: "nowhere").app.test_client()
    assert 'value="UTC"' in client.get("/staff/reports/").text
