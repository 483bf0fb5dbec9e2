"""The database servers of this machine, and an empty database on each."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Servers:
    """The available servers, on their default ports, with the users of a fresh installation."""

    postgresql: bool
    mariadb: bool
    redis: bool

    @classmethod
    def found(cls) -> Servers:
        return cls(*(_answers(port) for port in (5432, 3306, 6379)))

    @contextmanager
    def fresh_postgresql(self, user: str = "postgres") -> Iterator[str]:
        """Yield an empty database, dropped afterwards."""
        import psycopg

        name = f"phone_verify_{secrets.token_hex(4)}"
        with psycopg.connect(f"postgresql://{user}@127.0.0.1/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
            try:
                yield f"postgresql://{user}@127.0.0.1/{name}"
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def fresh_mariadb(self) -> Iterator[str]:
        """Yield an empty database, dropped afterwards."""
        import pymysql

        name = f"phone_verify_{secrets.token_hex(4)}"
        connection = pymysql.connect(host="127.0.0.1", user="root", autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            try:
                yield f"mysql://root@127.0.0.1/{name}"
            finally:
                cursor.execute(f"DROP DATABASE {name}")

    @contextmanager
    def fresh_redis(self, database: int = 15) -> Iterator[str]:
        """Yield one of the last databases, emptied before and after."""
        import redis

        url = f"redis://127.0.0.1:6379/{database}"
        server = redis.Redis.from_url(url)
        server.flushdb(asynchronous=True)
        try:
            yield url
        finally:
            server.flushdb(asynchronous=True)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
