"""Python programs of tests, as forks of a process that has imported the libraries.

Imports take three quarters of the time of a process that checks a project. `run` has the arguments and the result of
`subprocess.run`. Each program has a separate process with its own folder, environment and output; the modules of a site
are imported in that process only. Programs that block an import, or look at what is imported, need `subprocess.run`. Of
Python's own variables, PYTHONPATH and PYTHONDONTWRITEBYTECODE have an effect.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
#: What can be imported before the settings of a site are known. Nothing is lost without a module of an extra.
MODULES = (
    "dj_database_url",
    "django.conf.urls.i18n",
    "django.contrib.admin.apps",
    "django.contrib.admin.templatetags.admin_list",
    "django.contrib.admin.templatetags.admin_modify",
    "django.contrib.admin.templatetags.log",
    "django.contrib.auth.apps",
    "django.contrib.auth.decorators",
    "django.contrib.auth.password_validation",
    "django.contrib.auth.tokens",
    "django.contrib.contenttypes.apps",
    "django.contrib.messages.apps",
    "django.contrib.messages.middleware",
    "django.contrib.messages.storage.fallback",
    "django.contrib.sessions.apps",
    "django.contrib.sessions.backends.db",
    "django.contrib.sessions.management",
    "django.contrib.sessions.middleware",
    "django.contrib.sessions.serializers",
    "django.contrib.sites.shortcuts",
    "django.contrib.staticfiles.apps",
    "django.contrib.staticfiles.handlers",
    "django.core.cache.backends.locmem",
    "django.core.management.commands.check",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.db.backends.sqlite3.base",
    "django.db.models.sql.compiler",
    "django.middleware.cache",
    "django.middleware.clickjacking",
    "django.middleware.common",
    "django.middleware.locale",
    "django.middleware.security",
    "django.shortcuts",
    "django.template.backends.utils",
    "django.template.loaders.app_directories",
    "django.template.loaders.cached",
    "django.templatetags.cache",
    "django.templatetags.l10n",
    "django.templatetags.tz",
    "django.test",
    "django.utils.translation.reloader",
    "django.views.csrf",
    "django.views.decorators.http",
    "django.views.defaults",
    "django.views.i18n",
    "django_otp.decorators",
    "django_otp.util",
    "encodings.idna",
    "flask_migrate",
    "flask_sqlalchemy",
    "gunicorn.app.wsgiapp",
    "gunicorn.glogging",
    "gunicorn.workers.gthread",
    "gunicorn.workers.sync",
    "jwcrypto.jwt",
    "oauth2_provider",
    "oauth2_provider.apps",
    "oauth2_provider.forms",
    "oauth2_provider.http",
    "oauth2_provider.utils",
    "oauth2_provider.validators",
    "oauthlib.oauth2",
    "opentelemetry.metrics",
    "opentelemetry.trace",
    "phone_verify.cli.main",
    "phone_verify.config.keys",
    "phone_verify.config.service_site",
    "phone_verify.config.webhooks_out",
    "phone_verify.database.keys",
    "phone_verify.database.ledger",
    "phone_verify.database.services",
    "phone_verify.database.work",
    "phone_verify.doctor",
    "phone_verify.drivers.amoot",
    "phone_verify.drivers.console",
    "phone_verify.drivers.ferzz",
    "phone_verify.drivers.kinds.json_api",
    "phone_verify.drivers.kinds.signatures",
    "phone_verify.drivers.ssms",
    "phone_verify.drivers.telefon_ip",
    "phone_verify.sandbox",
    "phone_verify.staff.rendering",
    "phone_verify.stores.rows.waits",
    "phone_verify.stores.sql",
    "phone_verify_django.admin_display",
    "phone_verify_django.alarm_mail",
    "phone_verify_django.apps",
    "phone_verify_django.calls",
    "phone_verify_django.cli",
    "phone_verify_django.fields",
    "phone_verify_django.forms",
    "phone_verify_django.kept_proof",
    "phone_verify_django.oauth_toolkit.apps",
    "phone_verify_django.otp.apps",
    "phone_verify_django.otp.challenges",
    "phone_verify_django.services.apps",
    "phone_verify_django.services.opening",
    "phone_verify_django.signals",
    "phone_verify_django.tasks",
    "phone_verify_flask",
    "phone_verify_flask.cli",
    "phonenumbers",
    "requests",
    "rest_framework",
    "rich.console",
    "unittest.mock",
    "uvicorn",
    "uvicorn.protocols.http.h11_impl",
    "whitenoise.middleware",
)
_MESSAGE_BYTES = 1 << 20


class Program:
    """A running program, with the part of `subprocess.Popen` that servers need."""

    def __init__(self, status: socket.socket) -> None:
        self._status = status
        self.pid = int(status.recv(_MESSAGE_BYTES))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while the program runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; raise `TimeoutError` if the program runs longer."""
        if self.returncode is None:
            self._status.settimeout(timeout)
            self.returncode = int(self._status.recv(_MESSAGE_BYTES))
            self._status.close()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to a running program."""
        if self.poll() is None:
            os.kill(self.pid, number)


class _Parent:
    """A process that imports modules once, and forks for each program."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            environ = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(command, env=environ, pass_fds=[theirs.fileno()])

    def start(self, program: Mapping[str, Any], standard: Sequence[int]) -> Program:
        """Run a program with these files as its standard input, output and error output."""
        status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._socket, [json.dumps(program).encode()], [*standard, theirs.fileno()])
        return Program(status)

    def stop(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait()


_parent: _Parent | None = None


def start(
    command: Sequence[str], *, standard: Sequence[int], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Program:
    """Start `python [-W error] (-c PROGRAM | -m MODULE | FILE) …` in a fork that has imported `MODULES`."""
    global _parent
    executable, *words = command
    assert executable == sys.executable
    strict = words[:2] == ["-W", "error"]
    program = {
        "words": words[2:] if strict else words,
        "strict": strict,
        "cwd": str(cwd or Path.cwd()),
        "env": dict(os.environ if env is None else env),
    }
    _parent = _parent or _Parent()
    return _parent.start(program, standard)


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: str = "",
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Start a program, and return its status and output when it has ended."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(input.encode())
        given.seek(0)
        running = start(command, standard=[file.fileno() for file in (given, out, err)], cwd=cwd, env=env)
        try:
            status = running.wait(timeout)
        except BaseException as error:
            running.send_signal(signal.SIGKILL)
            running.wait()
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired(command, timeout or 0) from error
            raise
        texts = [file.read().decode() for file in (out, err) if not file.seek(0)]
    return subprocess.CompletedProcess(command, status, *texts)


def stop() -> None:
    """End the process that forks; a run of the tests does so at its end."""
    global _parent
    if _parent is not None:
        _parent.stop()
        _parent = None


def _serve(served: socket.socket) -> Callable[[], object]:
    """Return the program in a fork; the process itself ends when the tests close the socket."""
    while True:
        message, files, _, _ = socket.recv_fds(served, _MESSAGE_BYTES, 4)
        if not message:
            sys.exit()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not os.fork():
            served.close()
            _watch(socket.socket(fileno=files.pop()))
            return _prepared(json.loads(message), files)
        for file in files:
            os.close(file)


def _watch(status: socket.socket) -> None:
    """Return in a fork; this process reports the number of that process and its exit status, and ends."""
    with status:
        child = os.fork()
        if child:
            with suppress(OSError):  # the tests have ended
                status.send(str(child).encode())
                status.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
            os._exit(0)


def _prepared(program: dict[str, Any], files: Sequence[int]) -> Callable[[], object]:
    """Make this process the one that was asked for; return what it runs."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    os.chdir(program["cwd"])
    os.environ.clear()
    os.environ.update(program["env"])
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    if program["strict"]:
        warnings.simplefilter("error")
    kind, *words = program["words"]
    on_path = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [os.getcwd() if kind in ("-c", "-m") else str(Path(kind).resolve().parent), *on_path]
    importlib.invalidate_caches()
    if kind == "-c":
        sys.argv = ["-c", *words[1:]]
        code = compile(words[0], "<string>", "exec")
        main = sys.modules["__main__"] = ModuleType("__main__")
        return lambda: exec(code, vars(main))
    if kind == "-m":
        sys.argv = words
        return lambda: runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    sys.argv = [kind, *words]
    return lambda: runpy.run_path(kind, run_name="__main__")


def _main() -> None:
    """Import the modules, and serve the socket whose number is on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status: list[int] = []
    # Registered first, so it runs last. Without it, a fork ends by freeing every module, which takes 60 ms.
    atexit.register(_end, status)
    for module in MODULES:
        with suppress(ModuleNotFoundError):
            importlib.import_module(module)
    # The regions are a module each; a check of a project reads them all, which takes it 60 ms.
    importlib.import_module("phonenumbers").PhoneMetadata.load_all()
    # Not the folder of this file, and not the path of the tests' own process.
    sys.path[:] = [path for path in sys.path if path not in (str(Path(__file__).parent), str(ROOT))]
    gc.freeze()
    program = _serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        program()
    except SystemExit as ended:
        status.append(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise
    except BaseException:
        status.append(1)
        raise


def _end(status: Sequence[int]) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(*status or [0])


if __name__ == "__main__":
    _main()
