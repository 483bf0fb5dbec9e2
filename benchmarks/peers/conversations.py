"""What a client says to the site of each library: it asks for a code, and sends the right one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from phone_verify.phone import PhoneNumber

from ..http import START, bare_document, check_path, post, right_code, secret_header


class Outbox:
    """The codes that the sites send, each as a datagram with recipient and code."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self._lock, self._codes = threading.Lock(), dict[str, str]()
        #: Where they are sent.
        self.port: int = self._socket.getsockname()[1]

    def code(self, recipient: str) -> str:
        """Return the code that was sent to a recipient. Raises `TimeoutError` if none is."""
        with self._lock:
            while recipient not in self._codes:
                to, code = self._socket.recv(500).decode().split(" ")
                self._codes[to] = code
            return self._codes.pop(recipient)

    def close(self) -> None:
        self._socket.close()


class RefusedError(Exception):
    """A response with another status than that of a success."""


class Client:
    """A client of a site, with one persistent connection."""

    def __init__(self, port: int, outbox: Outbox) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self.outbox = outbox

    def post(self, path: str, document: object, status: int, headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON of a response. Raises `RefusedError` with any other status."""
        found, answer = post(self._connection, path, document, {"Accept": "application/json", **(headers or {})})
        if found != status:
            raise RefusedError(f"{path}: {found} {answer}")
        return answer

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True)
class Peer:
    """A library: its name, the packages of its site with their versions, the site, and the two requests."""

    name: str
    packages: Sequence[str]
    #: The module of the site, in `sites`; a framework's name for a site with our own views and the bare ones.
    site: str
    #: Asks for a code for this number, and returns what the other request needs.
    start: Callable[[Client, str], Any]
    #: Sends the right code.
    check: Callable[[Client, str, Any], object]
    #: Whether the store is Redis, in place of the database.
    redis: bool = False


def _bare_start(client: Client, number: str) -> dict[str, str]:
    asked = bare_document()
    client.post("/bare/start", asked, 201)
    return asked


def _our_start(client: Client, number: str) -> dict[str, str]:
    begun: dict[str, str] = client.post(START, {"phone": number}, 201)
    return {**begun, "code": right_code(begun, PhoneNumber(number))}


def _our_check(client: Client, number: str, begun: dict[str, str]) -> object:
    return client.post(check_path(begun), {"code": begun["code"]}, 200, secret_header(begun))


def _bare(framework: str) -> Peer:
    name = f"a bare view, {framework.title()}"
    return Peer(name, (), framework, _bare_start, lambda client, _, asked: client.post("/bare/check", asked, 200))


def _ours(name: str, framework: str, *, redis: bool = False) -> Peer:
    return Peer(f"phone_verify, {name}", (), framework, _our_start, _our_check, redis)


def _verify_start(client: Client, number: str) -> Any:
    begun = client.post("/phone/register", {"phone_number": number}, 200)
    return {**begun, "phone_number": number, "security_code": client.outbox.code(number)}


def _otp_start(client: Client, number: str) -> Any:
    client.post("/start", {"phone": number}, 201)
    return {"phone": number, "code": client.outbox.code(f"{number}@example.com")}


def _passwordless_start(client: Client, number: str) -> Any:
    client.post("/auth/mobile/", {"mobile": number}, 200)
    return {"mobile": number, "token": client.outbox.code(number)}


_ALLAUTH = "/app/v1/auth/code"


def _allauth_start(client: Client, number: str) -> Any:
    # The status of a response that asks for a further step of the sign-in.
    begun = client.post(f"{_ALLAUTH}/request", {"phone": number}, 401)
    return {"code": client.outbox.code(number)}, {"X-Session-Token": begun["meta"]["session_token"]}


def _security_start(client: Client, number: str) -> Any:
    client.post("/us-signin/send-code", {"identity": number, "chosen_method": "sms"}, 200)
    return {"identity": number, "passcode": client.outbox.code(number)}


_DJANGO = ("django==5.2.19", "psycopg[binary]==3.3.9", "gunicorn==27.0.1")
_REST = (*_DJANGO, "djangorestframework==3.18.3")

PEERS = (
    _bare("django"),
    _ours("Django, ORM", "django"),
    _ours("Django, Redis", "django", redis=True),
    Peer("django-otp 1.7.5", (*_DJANGO, "django-otp==1.7.5"), "site_django_otp", _otp_start,
         lambda client, _, asked: client.post("/check", asked, 200)),
    Peer("django-phone-verify 3.3.0", (*_REST, "django-phone-verify==3.3.0"), "site_django_phone_verify",
         _verify_start, lambda client, _, asked: client.post("/phone/verify", asked, 200)),
    Peer("django-allauth 65.22.1", (*_DJANGO, "django-allauth[headless]==65.22.1"), "site_django_allauth",
         _allauth_start, lambda client, _, asked: client.post(f"{_ALLAUTH}/confirm", asked[0], 200, asked[1])),
    Peer("drfpasswordless 1.5.9", (*_REST, "drfpasswordless==1.5.9"), "site_drfpasswordless",
         _passwordless_start, lambda client, _, asked: client.post("/auth/token/", asked, 200)),
    _bare("flask"),
    _ours("Flask, SQL", "flask"),
    Peer("Flask-Security 5.9.2", ("flask-security[fsqla,common,mfa]==5.9.2", "psycopg[binary]==3.3.9",
         "gunicorn==27.0.1"), "site_flask_security", _security_start,
         lambda client, _, asked: client.post("/us-signin", asked, 200)),
)  # fmt: skip
