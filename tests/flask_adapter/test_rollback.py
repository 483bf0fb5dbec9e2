"""Spent attempts survive the rollback of a Flask site's transaction, in the same database, through real requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, g, request
from flask_login import user_logged_in

from phone_verify.stores.sql.engine import engine_of
from phone_verify_flask import current_verifier
from tests.flask_adapter.sites import Made, make, proof, start
from tests.stores import servers


@pytest.fixture(params=["sqlite", *servers.PARAMETERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path}/site.sqlite3"
        else:
            yield stack.enter_context(servers.database(request.param))


@pytest.fixture
def made(url: str) -> Iterator[Made]:
    """A site with its rows next to the store's; it commits each successful request, and rolls back others."""
    engine = engine_of(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE own (what VARCHAR(20))")
        connection.commit()

    def prepare(app: Flask) -> None:
        app.config["PROPAGATE_EXCEPTIONS"] = False

        @app.before_request
        def begin() -> None:
            g.own = engine.connect()

        @app.teardown_request
        def end(error: BaseException | None) -> None:
            if error is None:
                g.own.commit()
            else:
                g.own.rollback()
            g.own.close()

        @app.post("/own/")
        def check_and_fail() -> str:
            asked: dict[str, Any] = request.get_json()
            outcome = current_verifier.check(asked["id"], asked["secret"], asked["code"])
            g.own.exec_driver_sql("BEGIN")
            g.own.execute(sa.text("INSERT INTO own VALUES ('after the check')"))
            raise RuntimeError(f"the site's own error; the check said {outcome.reason}")

    yield make(before=prepare, PHONE_VERIFY_STORE=url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM own").scalar() == 0, "the site's own rows are gone"
    engine.dispose()


def test_counts_survive_a_site_error_after_a_code(made: Made) -> None:
    client = made.app.test_client()
    begun = start(client)
    here, given = f"/phone/v1/verifications/{begun['id']}", {"id": begun["id"], "secret": begun["secret"]}
    assert client.post("/own/", json={**given, "code": made.wrong_code}).status_code == 500
    assert client.get(here).json["attempts_left"] == 4
    assert client.post("/own/", json={**given, "code": made.code}).status_code == 500
    assert client.get(here).json["status"] == "verified"
    assert client.post(f"{here}/check", json={"code": made.code}).status_code == 410


def test_redemption_survives_a_site_error(made: Made) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a receiver of the site's is broken")

    client = made.app.test_client()
    given = proof(client, made)
    with user_logged_in.connected_to(fail, made.app):
        assert client.post("/phone/v1/session", json={"proof": given}).status_code == 500
    answer = client.post("/phone/v1/session", json={"proof": given})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_proof")
