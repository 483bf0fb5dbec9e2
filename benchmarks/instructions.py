"""How many instructions of the interpreter a cycle takes, and in which part: `python -m benchmarks.instructions redis`.

The number depends on the versions of Python and of the libraries, not on the machine and its load. It says nothing of
the time in C and in servers. `django` and `flask` count a cycle through the JSON API, as WSGI's server calls it, with
the store in PostgreSQL; `django-bare` and `flask-bare` the bare views with the floor's two statements.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import phone_verify

from .costs import WAYS, cycle_of, url_of
from .http import START, bare_document, check_path, right_code, secret_header
from .measure import Figure
from .servers import Servers
from .sites import PHONES

_ROOT = Path(next(iter(phone_verify.__path__))).parent
_WARM, _CYCLES = 60, 20
#: The unit of these figures.
UNIT = "instructions"
_FIGURES = {"memory": "memory", "sqlite": "SQLite", "redis": "Redis", "postgresql": "PostgreSQL"}


def counted(run: Callable[[], object]) -> Counter[str]:
    """Return how many instructions a function takes in this thread, by part. It is called twice."""
    found: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            found[_part(frame.f_code.co_filename)] += 1
        return trace

    # Python 3.13 reports instructions only if a frame asks for them before the trace begins.
    sys._getframe().f_trace_opcodes = True
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()  # Python 3.13 reports those of a code only after it has run under a trace
        found.clear()
        run()
    finally:
        sys.settrace(before)
    return found


@cache
def _part(file: str) -> str:
    """Return the part that the code of a file belongs to: one of this library, another package, or Python.

    `values` are the constructors of dataclasses, which have no file.
    """
    path = Path(file)
    if path.is_relative_to(_ROOT) and path.parts[len(_ROOT.parts)].startswith("phone_verify"):
        package, *rest = path.relative_to(_ROOT).parts
        inner = "stores" if rest[0] in ("stores", "store") else rest[0].removesuffix(".py")
        return inner if package == "phone_verify" or inner == "stores" else "adapter"
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1].removesuffix(".py")
    if file == "<string>":
        return "values"
    return "benchmarks" if path.is_relative_to(_ROOT) else "Python"


def _of_cycles(run: Callable[[], object]) -> Counter[str]:
    for _ in range(_WARM):
        run()
    found = counted(lambda: [run() for _ in range(_CYCLES)])
    del found["benchmarks"]
    return Counter({part: round(count / _CYCLES) for part, count in found.items()})


def of_way(way: str, servers: Servers) -> Counter[str] | None:
    """Return the instructions of a cycle by part, or None if there is no server for this way."""
    with ExitStack() as stack:
        url = url_of(WAYS[way], servers, stack)
        return None if url is None else _of_cycles(partial(cycle_of(WAYS[way], url), 1))


def of_framework(framework: str, servers: Servers, *, bare: bool) -> Counter[str]:
    """Return the instructions of a cycle through a site of this framework, by part."""
    with ExitStack() as stack:
        os.environ["BENCHMARK_DATABASE"] = stack.enter_context(servers.fresh_postgresql())
        os.environ["BENCHMARK_PREPARE"] = "1"
        application = importlib.import_module(f"benchmarks.bare_{framework}").application
        phones = iter(PHONES)

        def ours() -> None:
            phone = next(phones)
            begun = _post(application, START, {"phone": phone.e164}, {})
            _post(application, check_path(begun), {"code": right_code(begun, phone)}, secret_header(begun))

        def views() -> None:
            asked = bare_document()
            _post(application, "/bare/start", asked, {})
            _post(application, "/bare/check", asked, {})

        return _of_cycles(views if bare else ours)


def _post(application: Any, path: str, document: object, headers: dict[str, str]) -> dict[str, str]:
    body = json.dumps(document).encode()
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    environ = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": path, "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http", **named,
    }  # fmt: skip
    status = ""

    def begin(given: str, _: object) -> None:
        nonlocal status
        status = given

    answer = application(environ, begin)
    try:
        text = b"".join(answer)
    finally:
        getattr(answer, "close", lambda: None)()
    assert status.startswith("20"), (status, text)
    found: dict[str, str] = json.loads(text)
    return found


def figures(servers: Servers) -> Iterator[Figure]:
    """Count a cycle on every store whose server is available."""
    python = ".".join(platform.python_version_tuple()[:2])
    for way, name in _FIGURES.items():
        if (found := of_way(way, servers)) is not None:
            yield Figure(f"{name}, {UNIT} of a cycle in Python {python}", found.total(), UNIT, notes=dict(found))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    frameworks = ("django", "django-bare", "flask", "flask-bare")
    parser.add_argument("way", choices=[*WAYS, *frameworks])
    way, servers = parser.parse_args().way, Servers.found()
    if way in frameworks:
        framework, _, bare = way.partition("-")
        found: Counter[str] | None = of_framework(framework, servers, bare=bool(bare))
    else:
        found = of_way(way, servers)
    if found is None:
        sys.exit("The server does not run on its default port.")
    print(f"| part | {UNIT} |\n|---|--:|")
    for part, count in [*found.most_common(), ("all", found.total())]:
        print(f"| {part} | {count:,} |")


if __name__ == "__main__":
    main()
