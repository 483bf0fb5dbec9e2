"""The floors: the least that keeps the promises of a start and a check, on the bare driver of each server.

SQL: one upsert and one guarded `UPDATE … RETURNING`, each committed. Redis: two `EVALSHA`. No quotas, no phone, no
channel, nothing that anybody could use.
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
    """On a file, in the journal mode and with the syncing that ours has."""
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
    """By psycopg, one connection."""
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
    """By PyMySQL, one connection. It has no `UPDATE … RETURNING`: the count of rows tells."""
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
    """Two scripts, by name."""
    import redis as client

    server: Any = client.Redis.from_url(url)
    start = server.script_load("redis.call('SET', KEYS[1], ARGV[1], 'EX', 600) return 1")
    check = server.script_load("return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])")

    def run(times: int) -> None:
        for id, digest in _rows(times):
            server.evalsha(start, 1, f"floor:{id}", digest)
            assert server.evalsha(check, 1, f"floor:{id}", digest) == 1

    return run
