"""What the store and the providers say when they are asked. Nothing is sent to any phone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from ..config.stores import open_store
from ..delivery import Delivery
from ..drivers.base import Driver, ReportsAccount
from ..drivers.reading import scrubbed
from ..errors import ConfigurationError, FailureKind, ProviderError, StoreError, UnclearError
from ..exchange import Exchange
from ..model import ProviderAccount
from ..stores.base import OfOneProcess, Store
from ..sync import run
from ..transports.base import Transport
from .finding import Finding, Level
from .loader import Reading, fault, setting

#: Has the form of a verification's id, and no verification has it.
_NOBODYS_ID = "A" * 44
_SQLITE_FILE = re.compile(r"sqlite:///([^?]+)")

Say = Callable[[str], None]


def store(reading: Reading, say: Say | None) -> Iterator[Finding]:
    """Which store it is, and whether it answers; without `say` it is not asked."""
    given, name = reading.given, setting("store")
    if "store" not in reading.written and not given.framework:
        says = "It is not set. Django then keeps verifications in its database, Flask in a file in its instance folder."
        yield Finding(Level.NOTE, name, says)
        return
    try:
        url = reading.settings.store or given.default_store()
        opened = open_store(url, given.stores)
    except ConfigurationError as error:
        yield fault("store", error)
        return
    advice = "See whether the database is up, can be reached from here, and lets this user in with this password."
    if url.partition(":")[0] in given.stores:
        make = "flask db upgrade" if given.framework == "Flask" else "python manage.py migrate"
        advice = f"See whether {given.framework} reaches its database, and make the tables: {make}"
    if isinstance(opened, OfOneProcess):
        level = Level.WARNING if given.production else Level.NOTE
        says = "It is the memory of one process: a restart forgets everything, and several workers answer 503."
        better = "orm:" if "orm" in given.stores else "sqlite:////var/lib/site/phone_verify.sqlite3"
        yield Finding(level, name, says, f"Write {name}={better}")
    elif (file := _SQLITE_FILE.match(url)) and not os.path.exists(file[1]):
        yield _file_to_be(os.path.dirname(os.path.abspath(file[1])))
    else:
        if file and os.stat(file[1]).st_mode & 0o007:
            says = "Every user of this machine can read or write its file, and it holds phone numbers in clear."
            level = Level.WARNING if given.production else Level.NOTE
            yield Finding(level, name, says, f"Run: chmod 600 {file[1]}*")
        if say is not None:
            say("Asking the store…")
            yield from _answers(opened, advice)


def _file_to_be(folder: str) -> Finding:
    """What becomes of a file that is not there yet. Made here, it would be this user's and not the site's."""
    if not os.path.isdir(folder):
        return Finding(Level.ERROR, setting("store"), f"There is no folder {folder}.", f"Make it: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        says = f"The store's file is not there yet, and this user may not write in {folder}."
        return Finding(Level.ERROR, setting("store"), says, "Name a file in a folder that the site may write in.")
    return Finding(Level.OK, "", "The store's file is made when it is first needed.")


@runtime_checkable
class ExaminesServer(Protocol):
    """A store that knows how its server should be set up."""

    async def examine(self) -> Sequence[tuple[str, str]]:
        """What is wrong there, and what to write. Raises `StoreError`."""
        ...


def _answers(opened: Store, advice: str) -> Iterator[Finding]:
    try:
        faults = run(opened.examine()) if isinstance(opened, ExaminesServer) else ()
        run(opened.get(_NOBODYS_ID, None))
    except StoreError as error:
        yield Finding(Level.ERROR, setting("store"), f"The store does not answer: {error}.", advice)
        return
    yield Finding(Level.OK, "", "The store answers.")
    for says, what_to_write in faults:
        yield Finding(Level.WARNING, setting("store"), says, what_to_write)


def accounts(reading: Reading, transport: Transport, say: Say) -> Iterator[Finding]:
    """What each provider says of the site's account there, as far as it can be asked without sending."""
    delivery = reading.delivery(transport)
    for name, driver in reading.by_name.items():
        if isinstance(driver, ReportsAccount):
            say(f"Asking {name} for its account…")
            yield _account(delivery, driver, driver.account(), reading.settings_of(driver))
        elif not driver.is_local:
            says = f"{name} cannot be asked without sending."
            yield Finding(Level.NOTE, reading.settings_of(driver), says, "To try it: phone-verify send NUMBER")


def _account(delivery: Delivery, driver: Driver, question: Exchange[ProviderAccount], name: str) -> Finding:
    try:
        account = run(delivery.converse(question, driver))
    except UnclearError as error:
        says = (
            f"{driver.name} gave no answer that could be read ({error}), so nobody knows whether the credential works."
        )
        return Finding(Level.WARNING, name, says, "Try again; then try phone-verify send NUMBER")
    except ProviderError as error:
        level, says, advice = _refusals(driver, name)[error.trouble]
        return Finding(level, name, f"{driver.name} {says}: {error.detail or error}.", advice)
    if account.balance is None:
        return Finding(Level.OK, "", f"{driver.name}: the credential works.")
    balance = f"balance {account.balance:f} {scrubbed(account.currency or '')}".strip()
    if account.balance <= 0:
        says = f"{driver.name}: the credential works, {balance}: what is sent will be refused."
        return Finding(Level.WARNING, name, says, "Pay the provider.")
    return Finding(Level.OK, "", f"{driver.name}: the credential works, {balance}.")


def _refusals(driver: Driver, name: str) -> Mapping[FailureKind, tuple[Level, str, str]]:
    """What a refusal means for the site's owner, and what to do."""
    look = f"See whether this machine can connect to that host. It stands in {name}, or is the provider's own."
    if driver.is_local:
        look = f"Start what should answer there (phone-verify sandbox), or write another host in {name}."
    credential = f"Check {name}: the credential as the provider's panel shows it, percent-encoded."
    return {
        FailureKind.CONFIGURATION: (Level.ERROR, "refused the credential", credential),
        FailureKind.BAD_NUMBER: (Level.ERROR, "refused the credential", credential),
        FailureKind.BALANCE: (Level.ERROR, "says that there is no money", "Pay the provider."),
        FailureKind.TRANSIENT: (Level.ERROR, "could not be asked", look),
        FailureKind.RATE: (Level.WARNING, "was asked too often", "Try again later."),
        FailureKind.UNKNOWN: (Level.WARNING, "gave an answer that nobody documents", "Try phone-verify send NUMBER"),
    }
