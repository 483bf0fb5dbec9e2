"""Creation and migration of the SQL store's tables."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner

from phone_verify.cli.commands.schema import schema as schema_command
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.lifecycle import Spent
from phone_verify.limits import Quota
from phone_verify.model import Verification
from phone_verify.stores.sql import SqlStore, metadata, schema
from phone_verify.stores.sql.engine import engine_of
from phone_verify.testing.stores import BINDING, LIMITS, NOBODY, RIGHT, opening, run, together
from tests.stores import servers


@pytest.fixture(params=["sqlite", *servers.PARAMETERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database without tables."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path}/store.sqlite3"
        else:
            yield stack.enter_context(servers.database(request.param))


NEXT = f"{int(schema.HEAD) + 1:04}"


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Return a function that adds a revision to ours, as a later version of the package does."""

    def add() -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(Path(schema.__file__).parent / "migrations", folder)
        (folder / "versions" / f"{NEXT}_note.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f"revision, down_revision = {NEXT!r}, {schema.HEAD!r}\n\n\n"
            "def upgrade():\n"
            "    op.add_column('phone_verify_phone', sa.Column('note', sa.Integer, server_default='0'))\n"
        )
        monkeypatch.setattr(schema, "HEAD", NEXT)
        monkeypatch.setattr(schema, "STORE_TABLES", replace(schema.STORE_TABLES, head=NEXT, migrations=str(folder)))

    return add


def works(url: str) -> bool:
    store, order = SqlStore.from_url(url), opening()
    opened = run(store.open(order, [Quota("own", 5)], LIMITS, None))
    return isinstance(opened, Verification) and isinstance(
        run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None)), Spent
    )


def test_one_command_creates_the_tables_and_reports_it(url: str) -> None:
    assert schema.upgrade(url) == (None, schema.HEAD)
    assert schema.upgrade(url) == (schema.HEAD, schema.HEAD)
    assert works(url)


def same_type(_: object, __: object, ___: object, ____: object, known: object) -> bool | None:
    # MariaDB makes TINYBLOB of BLOB(32).
    return False if isinstance(known, sa.LargeBinary) else None


def test_revisions_lead_to_the_declared_tables(url: str) -> None:
    schema.upgrade(url)
    engine = engine_of(url)
    with engine.connect() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": same_type}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()
    config = Config()
    config.set_main_option("script_location", "phone_verify.stores.sql:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_ids_and_tags_are_compared_by_their_bytes(url: str) -> None:
    schema.upgrade(url)
    engine = engine_of(url)
    with engine.connect() as connection:
        tag = metadata.tables["phone_verify_phone"]
        for name in ("a", "A", "á"):
            connection.execute(tag.insert().values(tag=name, windows="{}", failures="{}", ends_at=0))
        connection.commit()
    engine.dispose()


@pytest.mark.race
def test_concurrent_workers_create_the_tables_once(url: str) -> None:
    quota = Quota("total", 100)
    together(8, lambda _: run(SqlStore.from_url(url).count([quota], None)))
    assert servers.execute(url, "SELECT count FROM phone_verify_counter") == [(8,)]


def test_tables_without_a_revision_are_adopted(url: str, newer: Callable[[], None]) -> None:
    engine = engine_of(url)
    metadata.create_all(engine)
    engine.dispose()
    assert works(url)
    first = schema.HEAD
    newer()
    assert schema.upgrade(url) == (first, NEXT)
    assert servers.execute(url, f"SELECT version_num FROM {schema.VERSION_TABLE}") == [(NEXT,)]


def test_tables_are_migrated_on_sqlite_only(url: str, newer: Callable[[], None]) -> None:
    """An SQLite file is migrated automatically; for a server the owner decides when."""
    first = schema.HEAD
    schema.upgrade(url)
    newer()
    if not url.startswith("sqlite"):
        with pytest.raises(StoreError, match="phone-verify schema"):
            works(url)
        assert schema.upgrade(url) == (first, NEXT)
    assert works(url)
    assert schema.upgrade(url) == (NEXT, NEXT)


def test_data_survives_an_upgrade(url: str, newer: Callable[[], None]) -> None:
    schema.upgrade(url)
    servers.execute(url, "INSERT INTO phone_verify_phone (tag, windows, failures, ends_at) VALUES ('x', '{}', '{}', 7)")
    newer()
    schema.upgrade(url)
    assert servers.execute(url, "SELECT tag, ends_at, version, note FROM phone_verify_phone") == [("x", 7, 0, 0)]


def test_newer_database_is_left_unchanged(url: str) -> None:
    schema.upgrade(url)
    servers.execute(url, f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    assert works(url)
    assert schema.upgrade(url) == ("9999", schema.HEAD)


def test_site_may_create_the_tables_itself(url: str) -> None:
    with pytest.raises(StoreError):
        run(SqlStore.from_url(url, create_tables=False).get("x" * 44, None))
    engine = engine_of(url)
    metadata.create_all(engine)
    engine.dispose()
    store = SqlStore.from_url(url, create_tables=False)
    assert isinstance(run(store.open(opening(), [], LIMITS, None)), Verification)


def test_missing_alembic_is_named_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    with pytest.raises(ConfigurationError, match=r"phone-verify\[sql\]"):
        schema.upgrade(f"sqlite:///{tmp_path}/store.sqlite3")


def test_unusable_database_is_a_store_error() -> None:
    with pytest.raises(StoreError) as raised:
        schema.upgrade(f"postgresql://someone:hunter2@{servers.HOST}:1/x")
    assert "hunter2" not in str(raised.value)
    assert sa.exc.SQLAlchemyError.__name__ not in str(raised.value)


def ran(store: str) -> tuple[int, str]:
    done = CliRunner().invoke(schema_command, ["--environment"], env={"PHONE_VERIFY_STORE": store})
    return done.exit_code, done.output


def test_command_reports_what_it_did(url: str) -> None:
    assert ran(url) == (0, f"✓ Created the tables, revision {schema.HEAD}.\n")
    assert ran(url) == (0, f"✓ The tables are up to date, revision {schema.HEAD}.\n")


def test_command_upgrades_the_tables(url: str, newer: Callable[[], None]) -> None:
    first = schema.HEAD
    schema.upgrade(url)
    newer()
    assert ran(url) == (0, f"✓ Migrated the tables from revision {first} to {NEXT}.\n")


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("memory:", "has no tables"),
        ("orm:", "manage.py migrate"),
        ("redis://someone:hunter2@h/0", "has no tables"),
        ("sqlite:///", "SQLite needs a file"),
        ("postgresql://someone:hunter2@127.0.0.1:1/x", "could not create the tables"),
    ],
)
def test_command_reports_errors(store: str, said: str) -> None:
    status, output = ran(store)
    assert status == 1
    assert said in output
    assert "hunter2" not in output
