"""The store in the site's database: Flask-SQLAlchemy with Flask-Migrate's migrations."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy

from phone_verify.errors import ConfigurationError
from phone_verify.stores.sql.tables import metadata
from phone_verify.testing.transport import FakeTransport
from phone_verify_flask import PhoneVerify, current_verifier
from tests import forks
from tests.stores import servers

from .sites import KEY, PHONE, Made, start, with_database

ROOT = Path(__file__).parents[2]
TABLES = set(metadata.tables)

#: A minimal site: `flask db` needs nothing else.
SITE = """
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from phone_verify_flask import PhoneVerify

db = SQLAlchemy()


class User(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)


def create_app():
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="a-key-of-the-tests-0123456789abcdef",
        SQLALCHEMY_DATABASE_URI="sqlite:///site.sqlite3",
        PHONE_VERIFY_SMS="console://",
    )
    db.init_app(app)
    Migrate(app, db)
    PhoneVerify(app, db=db)
    return app
"""


def bound(folder: Path, url: str | None = None, *, create: bool = True, **config: Any) -> tuple[Made, SQLAlchemy]:
    app = Flask("site", instance_path=str(folder))
    app.config.update(SECRET_KEY=KEY, PHONE_VERIFY_SMS="console://", TESTING=True, **config)
    app.config["SQLALCHEMY_DATABASE_URI"] = url or "sqlite:///site.sqlite3"
    made, db = Made(app), SQLAlchemy()
    db.init_app(app)
    with_database.append((app, db))
    PhoneVerify().init_app(app, db=db, transport=made.transport)
    if create:
        with app.app_context():
            db.create_all()
    return made, db


@pytest.fixture(params=["sqlite", *servers.PARAMETERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'site.sqlite3'}"
    else:
        with servers.database(request.param) as url:
            yield url.replace("postgresql://", "postgresql+psycopg://").replace("mysql://", "mysql+pymysql://")


def rows(db: SQLAlchemy) -> int:
    return int(db.session.execute(sa.text("SELECT count(*) FROM phone_verify_verification")).scalar_one())


def test_verifications_survive_a_rollback_of_the_site(tmp_path: Path, url: str) -> None:
    made, db = bound(tmp_path / "instance", url)

    @made.app.post("/own/")
    def check_and_roll_back() -> str:
        asked: dict[str, Any] = request.get_json()
        db.session.execute(sa.text("SELECT 1"))
        outcome = current_verifier.check(asked["id"], asked["secret"], asked["code"])
        db.session.rollback()
        return str(outcome.reason)

    client = made.app.test_client()
    begun = start(client)
    here = f"/phone/v1/verifications/{begun['id']}"
    given = {"id": begun["id"], "secret": begun["secret"], "code": made.wrong_code}
    assert client.post("/own/", json=given).text == "wrong_code"
    assert client.get(here).json["attempts_left"] == 4
    with made.app.app_context():
        assert rows(db) == 1


def test_tables_are_in_the_site_metadata(tmp_path: Path) -> None:
    _, db = bound(tmp_path)
    assert set(db.metadata.tables) == TABLES
    first, second = Flask("first", instance_path=str(tmp_path)), Flask("second", instance_path=str(tmp_path))
    db = SQLAlchemy()
    for app in (first, second):  # one db for several applications, as one extension
        app.config.update(SECRET_KEY=KEY, SQLALCHEMY_DATABASE_URI="sqlite:///site.sqlite3")
        db.init_app(app)
        with_database.append((app, db))
        PhoneVerify(app, db=db)
    assert set(db.metadata.tables) == TABLES


def test_tables_are_not_created_outside_migrations(tmp_path: Path) -> None:
    made, _ = bound(tmp_path, create=False)
    answer = made.app.test_client().post("/phone/v1/verifications", json={"phone": PHONE})
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")


def test_init_db_creates_tables_without_migrations(tmp_path: Path) -> None:
    made, db = bound(tmp_path, create=False)
    for _ in range(2):
        result = made.app.test_cli_runner().invoke(args=["phone-verify", "init-db"])
        assert result.exit_code == 0, result.output
    start(made.app.test_client())
    with made.app.app_context():
        assert rows(db) == 1


def test_setting_names_another_store(tmp_path: Path) -> None:
    """The tables stay in the migrations, which must not depend on the database they are written with."""
    made, db = bound(tmp_path, PHONE_VERIFY_STORE=f"sqlite:///{tmp_path / 'other.sqlite3'}")
    start(made.app.test_client())
    with made.app.app_context():
        assert rows(db) == 0
    assert set(db.metadata.tables) == TABLES
    assert "up to date" in made.app.test_cli_runner().invoke(args=["phone-verify", "init-db"]).output


def test_uninitialised_db_is_reported(tmp_path: Path) -> None:
    app = Flask("site", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY=KEY)
    with pytest.raises(ConfigurationError, match=r"db\.init_app\(app\)"):
        PhoneVerify(app, db=SQLAlchemy())


@pytest.mark.parametrize(("url", "says"), [("sqlite:///:memory:", "needs a file"), ("oracle+oracledb://h/x", "oracle")])
def test_unsupported_database_is_reported(tmp_path: Path, url: str, says: str) -> None:
    if url.startswith("oracle"):
        db: Any = type("Db", (), {"engine": type("Engine", (), {"url": sa.make_url(url)}), "metadata": sa.MetaData()})
        app = Flask("site", instance_path=str(tmp_path))
        app.extensions["sqlalchemy"] = db
        app.config.update(SECRET_KEY=KEY)
        with pytest.raises(ConfigurationError, match=says):
            PhoneVerify().init_app(app, db=db, transport=FakeTransport())
    else:
        with pytest.raises(ConfigurationError, match=says):
            bound(tmp_path, url)


#: Runs each line of its input as the arguments of `flask`, and prints the exit status and the output as JSON.
COMMANDS = """
import contextlib, io, json, sys
from flask.cli import main

for line in sys.stdin:
    sys.argv = ["flask", "--app", "wsgi", *json.loads(line)]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
    print(json.dumps([status, said.getvalue()]))
"""


def test_flask_migrate_creates_tables_and_finds_no_change(tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").write_text(SITE)
    commands = (
        ["db", "init"],
        ["db", "migrate", "-m", "first"],
        ["db", "upgrade"],
        ["db", "migrate", "-m", "second"],
        ["phone-verify", "purge"],
        ["phone-verify", "init-db"],
    )
    done = forks.run(
        [sys.executable, "-c", COMMANDS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        input="\n".join(map(json.dumps, commands)),
    )
    assert done.returncode == 0, done.stderr
    *succeeded, (status, refused) = map(json.loads, done.stdout.splitlines())
    assert [status for status, _ in succeeded] == [0] * 5, succeeded
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'instance' / 'site.sqlite3'}")
    assert {*TABLES, "user"} <= set(sa.inspect(engine).get_table_names())
    engine.dispose()
    assert "No changes in schema detected" in succeeded[3][1]
    assert "0 verifications" in succeeded[4][1]
    assert status == 1
    assert "flask db upgrade" in refused
