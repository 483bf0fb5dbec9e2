"""A Flask site with two bare views, which execute the floor's two statements, and with our views."""

from __future__ import annotations

import os

import sqlalchemy as sa
from flask import Flask, request
from flask_login import LoginManager

from phone_verify.stores.sql.engine import engine_of
from phone_verify_flask import PhoneVerify

from .sites import KEY, QUOTAS

URL = os.environ["BENCHMARK_DATABASE"]
START = sa.text(
    "INSERT INTO floor VALUES (:id, :digest, 5, 'sent') ON CONFLICT (id) DO UPDATE SET digest = excluded.digest"
)
CHECK = sa.text(
    "UPDATE floor SET attempts_left = attempts_left - 1, status = 'verified' "
    "WHERE id = :id AND digest = :digest AND attempts_left > 0 AND status = 'sent' RETURNING attempts_left"
)

engine = engine_of(URL)
application = Flask(__name__)
application.config.update(
    SECRET_KEY=KEY,
    PHONE_VERIFY_SMS="console://",
    PHONE_VERIFY_STORE=os.environ.get("BENCHMARK_STORE") or URL,
    **{f"PHONE_VERIFY_{name.upper()}": value for name, value in QUOTAS.items()},
)
LoginManager(application).user_loader(lambda _: None)
PhoneVerify(application).user_for_phone(lambda redeemed: None)


@application.post("/bare/start")
def bare_start() -> tuple[dict[str, str], int]:
    """Execute the floor's upsert."""
    asked = request.get_json()
    with engine.begin() as connection:
        connection.execute(START, {"id": asked["id"], "digest": asked["digest"]})
    return {"id": asked["id"]}, 201


@application.post("/bare/check")
def bare_check() -> dict[str, int]:
    """Execute the floor's guarded update."""
    asked = request.get_json()
    with engine.begin() as connection:
        return {"left": connection.execute(CHECK, {"id": asked["id"], "digest": asked["digest"]}).scalar_one()}


if os.environ.get("BENCHMARK_PREPARE"):
    with engine.begin() as prepared:
        prepared.execute(
            sa.text(
                "CREATE TABLE floor (id VARCHAR(44) PRIMARY KEY, digest VARCHAR(64) NOT NULL, "
                "attempts_left INT NOT NULL, status VARCHAR(16) NOT NULL)"
            )
        )
