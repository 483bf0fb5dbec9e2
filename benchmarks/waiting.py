"""The memory of a start that waits for its provider, compared with that of a bare request to the provider.

python -m benchmarks.waiting

1,000 starts wait simultaneously for a provider that takes eight seconds. The bare request is one of aiohttp; on Django,
an async view of the same site makes it. The difference is what this library holds; `memory:` keeps the records too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

from .concurrent_starts import Wave, core, in_process, on_django, provider, raise_file_limit, run_waves
from .measure import Figure, table
from .servers import Servers

_STARTS = 1000
#: So long that all starts wait at the same time.
_SECONDS = 8.0
_MARK = 20.0


def figures(servers: Servers) -> Iterator[Figure]:
    """Return the kilobytes of a waiting start and of a waiting bare request, in the core and on Django."""
    with provider(_SECONDS) as dsn:
        yield _figure("a bare request, aiohttp", in_process(_bare, dsn, "", _STARTS, 1))
        yield _figure("core, memory", in_process(core, dsn, "memory:", _STARTS, 1), _MARK)
        if servers.redis:
            with servers.fresh_redis() as store:
                yield _figure("core, Redis", in_process(core, dsn, store, _STARTS, 1), _MARK)
                visited = partial(
                    on_django, dsn, store, _STARTS, 1, application="benchmarks.bare_async_django:application"
                )
                yield _figure("a bare async view, Django", visited(path="/bare"))
                yield _figure("Django, Redis", visited(), _MARK)


def _bare(dsn: str, store: str, starts: int, waves: int) -> list[Wave]:
    url = urlsplit(dsn)

    async def wait() -> list[Wave]:
        from aiohttp import ClientSession, TCPConnector

        async with ClientSession(connector=TCPConnector(limit=0)) as session:

            async def start(phone: str) -> str:
                async with session.post(f"http://{url.hostname}:{url.port}/", data=b"{}") as response:
                    await response.read()
                return "sent"

            return await run_waves(start, starts, waves, os.getpid())

    return asyncio.run(wait())


def _figure(what: str, waves: list[Wave], mark: float | None = None) -> Figure:
    assert waves[0].results == {"sent": _STARTS}, waves[0]
    return Figure(f"{what}, a waiting start", waves[0].kilobytes_per_start, "KB", mark, mark)


if __name__ == "__main__":
    raise_file_limit()
    print(table(list(figures(Servers.found()))))
