"""The floors: the minimal statements of a start and a check with the bare driver of each server.

SQL: one upsert and one guarded `UPDATE … RETURNING`, each committed. Redis: two `EVALSHA`. They have no quotas, no
phone and no channel.
"""

from __future__ import annotations

import itertools
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_COLUMNS = (
    "id VARCHAR(44) PRIMARY KEY, digest VARCHAR(64) NOT NULL, attempts_left INT NOT NULL, status VARCHAR(16) NOT NULL"
)
_numbers = itertools.count()

Floor = Callable[[int], None]


def _rows(times: int) -> list[tuple[str, str]]:
    return [(f"{next(_numbers):044d}", secrets.token_hex(32)) for _ in range(times)]


def sqlite(file: Path) -> Floor:
    """Measure SQLite on a file, with the journal mode and synchronous setting of our store."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"CREATE TABLE floor ({_COLUMNS})")

    def run(times: int) -> None:
        for id, digest in _rows(times):
            connection.execute(
                "INSERT INTO floor VALUES (?, ?, 5, 'sent') ON CONFLICT (id) DO UPDATE SET digest = excluded.digest",
                (id, digest),
            )
            done = connection.execute(
                "UPDATE floor SET attempts_left = attempts_left - 1, status = 'verified' "
                "WHERE id = ? AND digest = ? AND attempts_left > 0 AND status = 'sent' RETURNING attempts_left",
                (id, digest),
            ).fetchall()
            assert done == [(4,)]

    return run


def postgresql(dsn: str) -> Floor:
    """Measure PostgreSQL by psycopg with one connection."""
    import psycopg

    connection = psycopg.connect(dsn, autocommit=True)
    connection.execute("DROP TABLE IF EXISTS floor")
    connection.execute(f"CREATE TABLE floor ({_COLUMNS})")

    def run(times: int) -> None:
        for id, digest in _rows(times):
            connection.execute(
                "INSERT INTO floor VALUES (%s, %s, 5, 'sent') ON CONFLICT (id) DO UPDATE SET digest = excluded.digest",
                (id, digest),
            )
            done = connection.execute(
                "UPDATE floor SET attempts_left = attempts_left - 1, status = 'verified' "
                "WHERE id = %s AND digest = %s AND attempts_left > 0 AND status = 'sent' RETURNING attempts_left",
                (id, digest),
            ).fetchall()
            assert done == [(4,)]

    return run


def mariadb(url: str) -> Floor:
    """Measure MariaDB by PyMySQL with one connection. Without `UPDATE … RETURNING` it reads the row count."""
    import pymysql

    parts = urlsplit(url)
    connection: Any = pymysql.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username, password=parts.password or "",
        database=parts.path.strip("/"), autocommit=True,
    )  # fmt: skip
    cursor = connection.cursor()
    cursor.execute("DROP TABLE IF EXISTS floor")
    cursor.execute(f"CREATE TABLE floor ({_COLUMNS})")

    def run(times: int) -> None:
        for id, digest in _rows(times):
            cursor.execute(
                "INSERT INTO floor VALUES (%s, %s, 5, 'sent') ON DUPLICATE KEY UPDATE digest = VALUES(digest)",
                (id, digest),
            )
            done = cursor.execute(
                "UPDATE floor SET attempts_left = attempts_left - 1, status = 'verified' "
                "WHERE id = %s AND digest = %s AND attempts_left > 0 AND status = 'sent'",
                (id, digest),
            )
            assert done == 1

    return run


def redis(url: str) -> Floor:
    """Measure Redis with two scripts, by digest."""
    import redis as client

    server: Any = client.Redis.from_url(url)
    start = server.script_load("redis.call('SET', KEYS[1], ARGV[1], 'EX', 600) return 1")
    check = server.script_load("return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])")

    def run(times: int) -> None:
        for id, digest in _rows(times):
            server.evalsha(start, 1, f"floor:{id}", digest)
            assert server.evalsha(check, 1, f"floor:{id}", digest) == 1

    return run
