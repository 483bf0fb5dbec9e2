"""Sites whose users had numbers before: sign-in, the doctor, and `flask phone-verify adopt`."""

from __future__ import annotations

import csv
import logging
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result as Ran
from flask import Flask
from flask_login import LoginManager, UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import IntegrityError

from phone_verify.adoption.report import Report, Result, written_to
from phone_verify.adoption.spellings import spellings
from phone_verify.testing.transport import FakeTransport
from phone_verify_flask import PhoneVerify, adoption
from phone_verify_flask.cli import load

from .sites import KEY, PHONE, Made, proof, with_database

SPELLINGS = ("989120000000", "00989120000000", "09120000000", "9120000000", "+98 912 000 0000")


class Site(Made):
    """A site with users in Flask-SQLAlchemy, who may have numbers in any spelling."""

    db: SQLAlchemy
    model: Any
    phone_verify: PhoneVerify

    def add(self, *texts: str | None) -> None:
        with self.app.app_context():
            self.db.session.add_all([self.model(phone=text) for text in texts])
            self.db.session.commit()

    def numbers(self) -> list[str | None]:
        with self.app.app_context():
            return list(self.db.session.scalars(self.db.select(self.model.phone).order_by(self.model.id)))

    def run(self, *words: str) -> Ran:
        return self.app.test_cli_runner().invoke(args=["phone-verify", *words])

    def sign_in(self, phone: str = PHONE) -> Any:
        client = self.app.test_client()
        return client.post("/phone/v1/session", json={"proof": proof(client, self, phone)})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    app = Flask("site")
    app.config.update(
        SECRET_KEY=KEY,
        TESTING=True,
        PHONE_VERIFY_STORE="memory:",
        PHONE_VERIFY_SMS="console://",
        PHONE_VERIFY_REGION="IR",
        PHONE_VERIFY_SENDS_PER_HOUR=0,
        PHONE_VERIFY_RESEND_AFTER=0,
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'site.sqlite3'}",
    )
    db = SQLAlchemy(app)

    class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)
        phone = db.Column(db.String(20), unique=True)

    LoginManager(app).user_loader(lambda key: db.session.get(User, int(key)))
    site = Site(app, FakeTransport())
    site.db, site.model, site.phone_verify = db, User, PhoneVerify()
    site.phone_verify.init_app(app, transport=site.transport, clock=site.clock)

    @site.phone_verify.user_for_phone
    def find_or_make(redeemed: Any) -> Any:
        found = db.session.scalar(db.select(User).where(User.phone == redeemed.phone.e164))
        if found is not None:
            return found, False
        made = User(phone=redeemed.phone.e164)
        db.session.add(made)
        db.session.commit()
        return made, True

    with_database.append((app, db))
    with app.app_context():
        db.create_all()
    return site


def register(site: Site, limit: int = 500) -> None:
    db, model = site.db, site.model

    @site.phone_verify.users_with_phones
    def users_after(last: Any) -> Any:
        wanted = db.select(model).where(model.phone.is_not(None)).order_by(model.id).limit(limit)
        return db.session.scalars(wanted.where(model.id > last.id) if last else wanted)

    @site.phone_verify.adopt_phone
    def adopt(user: Any, phone: Any) -> bool:
        user.phone = phone.e164
        try:
            db.session.commit()
        except IntegrityError:
            db.session.rollback()
            return False
        return True


@pytest.mark.parametrize("text", SPELLINGS)
def test_stored_number_makes_no_second_account(site: Site, text: str, caplog: pytest.LogCaptureFixture) -> None:
    db, model = site.db, site.model
    asked: list[Any] = []

    @site.phone_verify.users_by_number
    def users(texts: Any) -> Any:
        asked.append(texts)
        return db.session.scalars(db.select(model).where(model.phone.in_(texts))).all()

    site.add(text)
    answer = site.sign_in()
    assert (answer.status_code, answer.json["code"]) == (403, "login_refused")
    assert site.numbers() == [text]
    assert PHONE in asked[0]
    assert "no user is created for +98 ••••••••00: user 1 has this number in another spelling" in caplog.text
    assert "9120000000" not in caplog.text
    assert site.sign_in("+989120000007").json["created"] is True
    site.add(PHONE)  # the site's function finds this one
    assert site.sign_in().status_code == 200


def test_second_account_is_logged_without_a_callback(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.add("09120000000")
    assert site.sign_in().json["created"] is True
    assert "a second account was created for +98 ••••••••00: user 1 has this number" in caplog.text
    assert "flask phone-verify adopt" in caplog.text
    assert "9120000000" not in caplog.text
    caplog.clear()
    assert site.sign_in("+989120000007").json["created"] is True
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


ROWS = (PHONE, "0912 000 0002", "0912 000 0004", "+989120000004", "=cmd()", "12345", None)


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--trust", "--dry-run"]], ids=" ".join)
def test_adopt_reports_and_changes_nothing(site: Site, words: list[str]) -> None:
    register(site)
    site.add(*ROWS)
    done = site.run("adopt", *words)
    assert done.exit_code == 0, done.output
    for line in ("1 numbers could be trusted", "1 were verified already", "2 duplicate", "2 unreadable"):
        assert line in done.output
    assert "912" not in done.output
    assert "--report FILE" in done.output
    assert site.numbers() == list(ROWS)


def test_adopt_stores_numbers_in_e164_and_reports_the_others(site: Site, tmp_path: Path) -> None:
    register(site, limit=2)
    site.add(*ROWS)
    report = tmp_path / "report.csv"
    done = site.run("adopt", "--trust", "--report", str(report))
    assert "1 numbers counted as verified" in done.output, done.output
    assert site.numbers() == [PHONE, "+989120000002", *ROWS[2:]]
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    with report.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["problem", "user", "number", "reads_as"],
            ["duplicate", "3", "0912 000 0004", "+989120000004"],
            ["duplicate", "4", "+989120000004", "+989120000004"],
            ["unreadable", "5", "'=cmd()", ""],
            ["unreadable", "6", "12345", ""],
        ]
    assert "0 numbers counted" in site.run("adopt", "--trust").output
    printed = site.app.test_cli_runner().invoke(args=["phone-verify", "adopt", "--report", "-"])
    assert "duplicate,3,0912 000 0004,+989120000004" in printed.stdout
    assert "2 duplicate" in printed.stderr
    assert site.sign_in("+989120000002").json["created"] is False


def test_number_taken_or_changed_meanwhile_is_reported(site: Site) -> None:
    register(site)
    site.add("09120000002", "09120000003")
    adopt = site.app.extensions["phone_verify"].accounts.adopt_phone

    @site.phone_verify.adopt_phone
    def late(user: Any, phone: Any) -> bool:
        """Before the first user: a rival takes the number, and the second user changes theirs."""
        if user.id == 1:
            with site.db.engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO user (phone) VALUES ('+989120000002')")
                connection.exec_driver_sql("UPDATE user SET phone = '09120000009' WHERE id = 2")
        return bool(adopt(user, phone))

    done = site.run("adopt", "--trust")
    assert "1 taken" in done.output, done.output
    assert "1 changed" in done.output
    assert site.numbers() == ["09120000002", "09120000009", "+989120000002"]


def test_number_written_during_the_run_is_not_adopted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user read before the number's own user writes it in another spelling between the two passes."""
    register(site)
    site.add("09120000002", "09120000001")
    entries, passes = adoption.entries, []

    def late(*given: Any) -> Any:
        passes.append(given)
        if len(passes) == 2:
            with site.db.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE user SET phone = '+98 912 000 0001' WHERE id = 1")
            site.db.session.expire_all()
        return entries(*given)

    monkeypatch.setattr(adoption, "entries", late)
    done = site.run("adopt", "--trust")
    assert "1 changed" in done.output, done.output
    assert site.numbers() == ["+98 912 000 0001", "+989120000001"]


def test_id_that_is_the_number_is_not_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.model.get_id = lambda user: user.phone
    site.add("09120000000")
    site.phone_verify.users_by_number(lambda texts: site.db.session.scalars(site.db.select(site.model)).all())
    assert site.sign_in().status_code == 403
    assert "user +98 ••••••••00 has this number" in caplog.text
    assert "9120000000" not in caplog.text


def test_adopt_names_a_missing_callback(site: Site) -> None:
    assert "@phone_verify.users_with_phones" in site.run("adopt").output
    register(site)
    site.app.extensions["phone_verify"].accounts.adopt_phone = None
    assert site.run("adopt").exit_code == 0
    failed = site.run("adopt", "--trust")
    assert (failed.exit_code, "@phone_verify.adopt_phone" in failed.output) == (1, True)
    assert "'iran' is not a region" in site.run("adopt", "--region", "iran").output
    assert "No such file" in site.run("adopt", "--report", "/nowhere/report.csv").output


def test_pages_without_an_end_are_refused(site: Site) -> None:
    site.add(PHONE)
    site.phone_verify.users_with_phones(lambda last: site.db.session.scalars(site.db.select(site.model)))
    assert "returned the same users again" in site.run("adopt").output


def test_doctor_warns_of_numbers_in_another_spelling(site: Site) -> None:
    site.add("09120000002")
    assert "PV811" not in site.run("doctor", "--json").output, "without the callback it is unknown"
    register(site)
    assert "PV811" in site.run("doctor", "--json").output
    assert "PV811" not in site.run("doctor", "--offline", "--json").output
    site.run("adopt", "--trust")
    assert "PV811" not in site.run("doctor", "--json").output


SITE = f"""
from flask import Flask
from flask_login import UserMixin
from phone_verify_flask import PhoneVerify, adoption

app = Flask("site")
app.config.update(SECRET_KEY={KEY!r}, PHONE_VERIFY_STORE="memory:", PHONE_VERIFY_REGION="IR")
phone_verify = PhoneVerify(app)

class User(UserMixin):
    id, phone = "1", "0912 000 0002"

@phone_verify.users_with_phones
def users_with_phones(last):
    return [] if last else [User()]
"""


def test_doctor_of_the_command_line_reads_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adopted_site.py").write_text(SITE)
    monkeypatch.syspath_prepend(tmp_path)
    assert [finding.id for finding in load("adopted_site:app").users()] == ["PV811"]


def test_report_is_safe_to_open(tmp_path: Path) -> None:
    """Texts that users have typed run neither in a spreadsheet nor in a terminal; no other user reads the file."""
    path = tmp_path / "report.csv"
    path.write_text("old")
    path.chmod(0o644)
    with written_to(str(path)) as file:
        report = Report(file)
        for text in ("\uff1d1+1", "=1+1", " @SUM(1)", "-1", "+1-2", "\x1b[2J", "\ud800", "+98912"):
            report.add(Result.UNREADABLE, 1, text, None)
    with path.open(newline="", encoding="utf-8") as written:
        cells = [row[2] for row in csv.reader(written)][1:]
    assert cells == ["'\uff1d1+1", "'=1+1", "' @SUM(1)", "'-1", "'+1-2", "\\u001b[2J", "\\ud800", "+98912"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(IsADirectoryError), written_to(str(tmp_path)):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["report.csv"]


def test_spellings_read_as_the_number() -> None:
    from phone_verify import PhoneNumber
    from phone_verify.adoption.spellings import read_stored

    for e164, region in ((PHONE, "IR"), ("+12025550123", "US"), ("+5491123456789", "AR"), ("+390612345678", "IT")):
        phone = PhoneNumber.parse(e164)
        assert spellings(phone)[0] == e164
        for text in spellings(phone):
            assert read_stored(text, [region]) in (phone, None), text
        assert read_stored(spellings(phone)[3], [None, region]) == phone
