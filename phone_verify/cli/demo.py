"""The demo: the example sites, each in a separate process, with a sandbox. All its data is
temporary.

Run as a module (`python -m phone_verify.cli.demo FOLDER PORT FRAME`) it serves one example site, so
that the identically named modules of the two sites do not conflict.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from ..sandbox import Sandbox, SandboxServer
from ..sandbox.phones import Message, PhoneCall
from ..sandbox.protocols import PROVIDERS

_START_SECONDS = 60.0
_PORTS_TO_TRY = 100
#: Limits that a demo does without.
_QUOTAS = (
    "SENDS_PER_HOUR",
    "SENDS_PER_HOUR_PER_ADDRESS",
    "SENDS_PER_HOUR_PER_PREFIX",
    "SENDS_PER_HOUR_TOTAL",
    "WRONG_PER_HOUR_PER_ADDRESS",
    "SENDS_PER_HOUR_PER_CLIENT",
    "WRONG_PER_HOUR_PER_CLIENT",
)
_CHANNELS = ("SMS", "VOICE", "FLASH_CALL", "INBOUND_CALL", "WHATSAPP")
_WEBHOOK = "{site}/phone/webhooks/{provider}/{secret}"
_FOLDERS = {"django": "django_site", "flask": "flask_site"}


#: The providers whose own protocol the sites can use: their channels, and the DSN.
PROTOCOLS: Mapping[str, tuple[Sequence[str], str]] = {
    "sinch": (
        ("SMS", "VOICE", "FLASH_CALL", "WHATSAPP"),
        "sinch://{application}:{application_secret}@{place}?tls=off&code_length=4&caller=%2B1815654xxxx",
    ),
    "telegram-gateway": (("TELEGRAM",), "telegram-gateway://{application}@{place}?tls=off"),
}


class DemoError(Exception):
    """The demo cannot run; the message says how to fix it."""


class StopSignals:
    """Records INT, TERM and HUP within `with`. They end the program only when it calls `check`.

    A handler that raises could do so between the start of a child process and its registration, or
    during the cleanup. An ignored signal stays ignored, so `nohup` works.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no HUP
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `SystemExit` with 128 + the signal's number, as shells report it, if one was
        received.
        """
        if self._received is not None:
            raise SystemExit(128 + self._received)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._received = self._received or number


class Demo:
    """A sandbox and both example sites, from `with` to its end.

    On the channels of `provider`, one of `PROTOCOLS`, the sites use its own driver and protocol.
    `check` is called while the demo starts and while it waits; an exception that it raises ends the
    demo.
    """

    def __init__(
        self,
        port: int,
        site_ports: Mapping[str, int],
        say: Callable[[str], object] = print,
        check: Callable[[], object] = lambda: None,
        verbose: bool = False,
        provider: str | None = None,
    ) -> None:
        self._port, self._site_ports, self._say, self._check = port, site_ports, say, check
        self._verbose, self._printed, self._provider = verbose, 0, provider
        self.staff_password = secrets.token_urlsafe(9)
        self._webhook_secret = secrets.token_urlsafe(24)
        self._sites: dict[str, subprocess.Popen[bytes]] = {}
        self._data: tempfile.TemporaryDirectory[str] | None = None
        self._sandbox: SandboxServer | None = None

    @property
    def url(self) -> str:
        """Return the URL of the page that shows the sites next to the handsets."""
        return f"{self.sandbox.url}/demo"

    @property
    def sandbox(self) -> SandboxServer:
        """Return the phone network. Raises `DemoError` outside `with`."""
        if self._sandbox is None:
            raise DemoError("the demo is not running")
        return self._sandbox

    @property
    def site_urls(self) -> dict[str, str]:
        """Return the URLs of the sites, by framework."""
        return {name: f"http://127.0.0.1:{port}" for name, port in self._site_ports.items()}

    def __enter__(self) -> Self:
        folders = {name: example_projects() / _FOLDERS[name] for name in self._site_ports}
        for name, port in self._site_ports.items():
            if _answers(port):
                raise DemoError(f"port {port} is in use; choose another one with --{name}-port")
        try:
            self._sandbox = SandboxServer(Sandbox(demo=self._page), port=self._port).start()
        except OSError:
            raise DemoError(f"port {self._port} is in use; choose another one with --port") from None
        try:
            self._say(f"Handsets       {self._sandbox.url}/")
            self._data = tempfile.TemporaryDirectory(prefix="phone_verify_demo_")
            for name, folder in folders.items():
                self._check()
                self._sites[name] = self._start(name, folder, Path(self._data.name))
            for name, url in self.site_urls.items():
                self._await(name)
                self._say(f"{name.capitalize():6} site    {url}/")
            if "django" in self._sites:
                url, password = self.site_urls["django"], self.staff_password
                self._say(f"Django admin   {url}/admin/  (user: staff, password: {password})")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for site in self._sites.values():
            site.send_signal(signal.SIGTERM)
        for site in self._sites.values():
            try:
                site.wait(5)
            except subprocess.TimeoutExpired:
                site.kill()
                site.wait()
        self._sites.clear()
        if self._sandbox is not None:
            self._sandbox.stop()
        if self._data is not None:
            self._data.cleanup()

    def wait(self) -> None:
        """Run until `check` raises an exception, and print what arrives at the handsets. Raise
        `DemoError` if a site has stopped.
        """
        while all(site.poll() is None for site in self._sites.values()):
            self._check()
            self.print_arrivals()
            time.sleep(0.1)
        self._check()  # a terminal sends its signals to the sites as well
        ended = ", ".join(name for name, site in self._sites.items() if site.poll() is not None)
        raise DemoError(f"the {ended} site has stopped; see its output above")

    def print_arrivals(self) -> None:
        """Print the codes and calls that reached the handsets since the last time."""
        arrivals: list[tuple[int, str]] = []
        for handset in self.sandbox.sandbox.network.handsets():
            items: tuple[Message | PhoneCall, ...] = (*handset.messages, *handset.calls)
            arrivals += [(item.id, _arrival(handset.phone, item)) for item in items if item.id > self._printed]
        for number, line in sorted(arrivals):
            self._printed = number
            self._say(line)

    @property
    def _page(self) -> str:
        sites: dict[str, str] = {}
        for name, url, number in zip(self.site_urls, self.site_urls.values(), ("", "2"), strict=True):
            sites |= {f"site{number}": f"{url}/", f"name{number}": name.capitalize()}
        return f"/beside?{urlencode({**sites, 'tour': 1})}"

    def _start(self, name: str, folder: Path, data: Path) -> subprocess.Popen[bytes]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PHONE_VERIFY_")}
        environment |= {
            f"PHONE_VERIFY_{channel}": dsn
            for channel, dsn in {**dict.fromkeys(_CHANNELS, self.sandbox.dsn), **self._of_provider(name)}.items()
        }
        environment |= {
            "DATABASE_URL": f"sqlite:///{data / name}.sqlite3",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "PHONE_VERIFY_PUBLIC_URL": self.site_urls[name],
            "PHONE_VERIFY_WEBHOOK_SECRET": self._webhook_secret,
            "PHONE_VERIFY_SITE_NAME": f"{name.capitalize()} example",
            # All visitors of a demo, and its tests, share one address; a real site keeps the defaults.
            **{f"PHONE_VERIFY_{quota}": "0" for quota in _QUOTAS},
            "PHONE_VERIFY_RESEND_AFTER": "15",
            "PHONE_VERIFY_FRAME_ANCESTORS": self.sandbox.url,
            "LOG_LEVEL": "INFO" if self._verbose else "ERROR",
        }
        if name == "django":
            environment["STAFF_PASSWORD"] = self.staff_password
        if name == "flask":
            environment["PHONE_VERIFY_STORE"] = f"sqlite:///{data / 'verifications.sqlite3'}"
        command = [
            sys.executable,
            "-m",
            "phone_verify.cli.demo",
            str(folder),
            str(self._site_ports[name]),
            self.sandbox.url,
        ]
        return subprocess.Popen(command, env=environment)  # noqa: S603 - our own interpreter and our own arguments

    def _of_provider(self, name: str) -> Mapping[str, str]:
        """Return the DSNs of the chosen provider, and set the site's webhook in its account."""
        if self._provider is None:
            return {}
        channels, dsn = PROTOCOLS[self._provider]
        # Each site is an application of the account, which asks and reports to its own site.
        if PROVIDERS[self._provider].webhook_in_cabinet:
            url = _WEBHOOK.format(site=self.site_urls[name], provider=self._provider, secret=self._webhook_secret)
            self.sandbox.sandbox.network.set_application_webhook(self._provider, name.upper(), url)
        place = self.sandbox.url.removeprefix("http://")
        keys = {key: quote(value, safe="") for key, value in PROVIDERS[self._provider].keys.items()}
        return dict.fromkeys(channels, dsn.format(application=name.upper(), place=place, **keys))

    def _await(self, name: str) -> None:
        end = time.monotonic() + _START_SECONDS
        while not _answers(self._site_ports[name]):
            self._check()
            if self._sites[name].poll() is not None:
                self._check()
                raise DemoError(f"the {name} site did not start; see its output above")
            if time.monotonic() > end:
                raise DemoError(f"the {name} site did not respond within {_START_SECONDS:.0f} seconds")
            time.sleep(0.1)


def next_free_port(first: int, taken: Iterable[int] = ()) -> int:
    """Return the first port from `first` on that is neither in use nor in `taken`."""
    for port in range(first, first + _PORTS_TO_TRY):
        if port not in taken and not _answers(port):
            try:
                socket.create_server(("127.0.0.1", port)).close()
            except OSError:
                continue
            return port
    raise DemoError(f"the ports from {first} to {first + _PORTS_TO_TRY - 1} are in use")


def boxed(*lines: str) -> str:
    """Return the lines in a box."""
    width = max(map(len, lines))
    middle = [f"│ {line:{width}} │" for line in lines]
    return "\n".join((f"╭─{'─' * width}─╮", *middle, f"╰─{'─' * width}─╯"))


def example_projects() -> Path:
    """Return the folder of the example sites: in the checkout, or installed inside the package."""
    spec = find_spec("phone_verify")
    package = Path(next(iter(spec.submodule_search_locations or []))) if spec else Path()
    for folder in (package.parent / "example_projects", package / "example_projects"):
        if folder.is_dir():
            return folder
    raise DemoError("the example sites are not installed; run the demo from a checkout of the project")


def framed(application: Callable[..., Iterable[bytes]], origin: str) -> Callable[..., Iterable[bytes]]:
    """Wrap the application so that only pages of `origin` may frame it."""

    def within(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() != "x-frame-options"]
            return start_response(status, [*kept, ("Content-Security-Policy", f"frame-ancestors {origin}")], *more)

        return application(environ, start)

    return within


def serve_site(folder: str, port: int, frame: str) -> None:
    """Serve one example site until terminated."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    level = os.environ.get("LOG_LEVEL", "ERROR")

    class Handler(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            if level == "INFO":
                super().log_request(code, size)

    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.chdir(folder)
    sys.path.insert(0, folder)
    from wsgi import application  # type: ignore[import-not-found]

    make_server("127.0.0.1", port, framed(application, frame), threaded=True, request_handler=Handler).serve_forever()


def _arrival(phone: str, item: Message | PhoneCall) -> str:
    if isinstance(item, Message):
        what = {"telegram": "Telegram message", "whatsapp": "WhatsApp message"}.get(item.channel, "SMS")
    elif item.spoken:
        what = f"Voice call from {item.number or 'a hidden number'}"
    elif item.direction == "out":
        return f"{phone}  called {item.number}"
    else:
        what = f"Missed call from {item.number or 'a hidden number'}"
    return f"{phone}  {what}, code {item.code}" if item.code else f"{phone}  {what}"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve_site(sys.argv[1], int(sys.argv[2]), sys.argv[3])
