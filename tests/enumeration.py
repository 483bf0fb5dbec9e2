"""Requests of a visitor without the right code about a number, and what the responses reveal.

Two numbers are indistinguishable if `answers` returns the same for both: statuses, headers, cookies, bodies, and the
statements that the site executes (their verbs). The statements represent the time, which a test cannot measure
reliably.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from phone_verify import PhoneNumber
from phone_verify.i18n.texts import spoken

from .clients import Answer, Browser
from .scenarios import wrong

#: Two numbers with the same hint, and one to sign in with.
KNOWN, UNKNOWN, VISITOR = "+989120000133", "+989120000233", "+989120000399"

#: Generated at random, and different for every visitor.
_DRAWN = re.compile(r"[A-Za-z0-9_.~-]{20,}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT")
#: The site's settings: sends without waiting, as often as the steps require.
SETTINGS = {"sms": "console://", "resend_after": "0", "sends_per_hour": "100"}


@dataclass(frozen=True)
class Site:
    """A site under test."""

    browser: Callable[[], Browser]
    #: The code of the newest message.
    code: Callable[[], str]
    #: Inside the block the list receives the site's statements and its calls of callbacks.
    work: Callable[[], AbstractContextManager[list[str]]]


def sign_in(site: Site, phone: str) -> Browser:
    """A browser signed in with this number, which creates the account."""
    browser = site.browser()
    started = browser.call("POST", "v1/verifications", {"phone": phone}).json()
    proof = browser.call("POST", f"v1/verifications/{started['id']}/check", {"code": site.code()}).json()["proof"]
    entered = browser.call("POST", "v1/session", {"proof": proof})
    assert entered.status == 200, entered.text
    return browser


def answers(site: Site, phone: str) -> list[tuple[str, object, list[str]]]:
    """Yield the name of each step, its response, and the statements that the site executes for it."""
    signed_in = sign_in(site, VISITOR)
    steps: list[tuple[str, object, list[str]]] = []
    # One start in four also purges expired rows, of all numbers: each run has eight.
    for _ in range(2):
        site.browser().call("POST", "v1/verifications", {"phone": VISITOR})
    for name, ask in _steps(site, signed_in, phone):
        with site.work() as work:
            answer = ask()
        steps.append((name, _reduced(answer, phone), [line.split()[0] for line in work]))
    return steps


def _steps(site: Site, signed_in: Browser, phone: str) -> Iterator[tuple[str, Callable[[], Answer]]]:
    api, pages = site.browser(), site.browser()
    started: dict[str, Any] = {}

    def start() -> Answer:
        answer = api.call("POST", "v1/verifications", {"phone": phone})
        started.update(answer.json())
        return answer

    yield "start", start
    path = f"v1/verifications/{started['id']}"
    yield "start again", lambda: api.call("POST", "v1/verifications", {"phone": phone})
    yield (
        "start for sign-up",
        lambda: site.browser().call("POST", "v1/verifications", {"phone": phone, "purpose": "signup"}),
    )
    yield "look", lambda: api.call("GET", path)
    yield "look without the secret", lambda: site.browser().call("GET", path)
    yield "resend", lambda: api.call("POST", f"{path}/resend")
    yield "wrong code", lambda: api.call("POST", f"{path}/check", {"code": wrong(site.code())})
    yield "no code", lambda: api.call("POST", f"{path}/check", {"code": "x"})
    yield "no proof", lambda: api.call("POST", "v1/session", {"proof": "x"})
    yield "cancel", lambda: api.call("DELETE", path)
    yield "login page", lambda: pages.post_form("/phone/login/", phone=phone)
    yield "code page", lambda: pages.get("/phone/code/")
    yield "wrong code on the page", lambda: pages.post_form("/phone/code/", code=wrong(site.code()))
    yield "change of a user's number", lambda: signed_in.post_form("/phone/verify/", phone=phone)
    yield "code page of a user", lambda: signed_in.get("/phone/code/")
    yield "user's wrong code", lambda: signed_in.post_form("/phone/code/", code=wrong(site.code()))


def _reduced(answer: Answer, phone: str) -> tuple[int, Mapping[str, str], Mapping[str, str], str]:
    headers = {name: _plain(value) for name, value in answer.headers.items() if name not in ("date", "set-cookie")}
    cookies = {name: _plain(str(value)) for name, value in answer.cookies.items()}
    # A user who enters a new number sees it in full.
    return answer.status, headers, cookies, _plain(answer.text.replace(spoken(PhoneNumber(phone)), "<number>"))


def _plain(text: str) -> str:
    return _DRAWN.sub("<drawn>", text)
