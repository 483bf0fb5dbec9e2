"""Queries to the store and the providers. Nothing is sent to any phone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from ..config.stores import open_store
from ..delivery import Delivery
from ..drivers.base import Driver, ReportsAccount, ReportsMissing
from ..drivers.reading import scrubbed
from ..errors import ConfigurationError, FailureKind, ProviderError, StoreError, UnclearError
from ..exchange import Exchange
from ..model import ProviderAccount
from ..stores.base import OfOneProcess, Store
from ..sync import run
from ..transports.base import Transport
from .finding import Finding, Level
from .loader import Reading, fault, setting

#: Has the form of a verification's id, but belongs to none.
_NOBODYS_ID = "A" * 44
_SQLITE_FILE = re.compile(r"sqlite:///([^?]+)")

Say = Callable[[str], None]


def store(reading: Reading, say: Say | None) -> Iterator[Finding]:
    """Report which store is used, and whether it responds; without `say` it is not contacted."""
    given, name = reading.given, setting("store")
    if "store" not in reading.written and not given.framework:
        says = "Not set. Django then stores verifications in its database, Flask in a file in its instance folder."
        yield Finding(Level.NOTE, name, says, id="PV601")
        return
    try:
        url = reading.settings.store or given.default_store()
        opened = open_store(url, given.stores)
    except ConfigurationError as error:
        yield fault("store", error, id="PV602")
        return
    advice = "Check that the database is running and reachable, and that the user and password are correct."
    if url.partition(":")[0] in given.stores:
        make = "flask db upgrade" if given.framework == "Flask" else "python manage.py migrate"
        advice = f"Check that {given.framework} can reach its database, and create the tables: {make}"
    if isinstance(opened, OfOneProcess):
        level = Level.WARNING if given.production else Level.NOTE
        says = "It is the memory of one process: a restart loses everything, and several workers respond with 503."
        better = "orm:" if "orm" in given.stores else "sqlite:////var/lib/site/phone_verify.sqlite3"
        yield Finding(level, name, says, f"Set {name}={better}", id="PV603")
    elif (file := _SQLITE_FILE.match(url)) and not os.path.exists(file[1]):
        yield _file_to_be(os.path.dirname(os.path.abspath(file[1])))
    else:
        if file and os.stat(file[1]).st_mode & 0o007:
            says = "Every user of this machine can read or write its file, which contains phone numbers in plain text."
            level = Level.WARNING if given.production else Level.NOTE
            yield Finding(level, name, says, f"Run: chmod 600 {file[1]}*", id="PV607")
        if say is not None:
            say("Checking the store…")
            yield from _answers(opened, advice)


def _file_to_be(folder: str) -> Finding:
    """Report on a file that does not exist yet. Created here, it would belong to this user and not
    to the site's.
    """
    if not os.path.isdir(folder):
        return Finding(
            Level.ERROR,
            setting("store"),
            f"The folder {folder} does not exist.",
            f"Create it: mkdir -p {folder}",
            id="PV604",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        says = f"The store's file does not exist yet, and this user may not write in {folder}."
        return Finding(
            Level.ERROR, setting("store"), says, "Choose a file in a folder that the site can write to.", id="PV605"
        )
    return Finding(Level.OK, "", "The store's file will be created when it is first used.", id="PV606")


@runtime_checkable
class ExaminesServer(Protocol):
    """A store that can check its server's configuration."""

    async def examine(self) -> Sequence[tuple[str, str]]:
        """Return problems and fixes. Raises `StoreError`."""
        ...


def _answers(opened: Store, advice: str) -> Iterator[Finding]:
    try:
        faults = run(opened.examine()) if isinstance(opened, ExaminesServer) else ()
        run(opened.get(_NOBODYS_ID, None))
    except StoreError as error:
        yield Finding(Level.ERROR, setting("store"), f"The store does not answer: {error}.", advice, id="PV608")
        return
    yield Finding(Level.OK, "", "The store answers.", id="PV609")
    for says, what_to_write in faults:
        yield Finding(Level.WARNING, setting("store"), says, what_to_write, id="PV610")


def accounts(reading: Reading, transport: Transport, say: Say) -> Iterator[Finding]:
    """Report the site's account at each provider, if it can be queried without sending."""
    delivery = reading.delivery(transport)
    for name, driver in reading.by_name.items():
        if isinstance(driver, ReportsAccount):
            say(f"Checking the account at {name}…")
            account = _account(delivery, driver, driver.account(), reading.settings_of(driver))
            yield account
            if isinstance(driver, ReportsMissing) and account.level is Level.OK:
                yield from _missing(delivery, driver, driver.missing(), reading.settings_of(driver))
        elif not driver.is_local:
            says = f"{name} cannot be checked without sending."
            yield Finding(
                Level.NOTE, reading.settings_of(driver), says, "To test it: phone-verify send NUMBER", id="PV701"
            )


def _account(delivery: Delivery, driver: Driver, question: Exchange[ProviderAccount], name: str) -> Finding:
    try:
        account = run(delivery.converse(question, driver))
    except UnclearError as error:
        says = f"{driver.name}'s response was unclear ({error}): the credential could not be checked."
        return Finding(Level.WARNING, name, says, "Try again, or test it: phone-verify send NUMBER", id="PV702")
    except ProviderError as error:
        level, says, advice, id = _refusals(driver, name)[error.trouble]
        return Finding(level, name, f"{driver.name} {says}: {error.detail or error}.", advice, id=id)
    if account.balance is None:
        return Finding(Level.OK, "", f"{driver.name}: the credential works.", id="PV705")
    balance = f"balance {account.balance:f} {scrubbed(account.currency or '')}".strip()
    if account.balance <= 0:
        says = f"{driver.name}: the credential works, {balance}. Messages will be refused."
        return Finding(Level.WARNING, name, says, "Top up your account.", id="PV704")
    return Finding(Level.OK, "", f"{driver.name}: the credential works, {balance}.", id="PV705")


def _missing(delivery: Delivery, driver: Driver, question: Exchange[str], name: str) -> Iterator[Finding]:
    """Report what the account lacks for sending, or that it could not be queried."""
    try:
        lacks = run(delivery.converse(question, driver))
    except (ProviderError, UnclearError) as error:
        says = f"{driver.name}: what the account lacks for sending could not be checked: {error}."
        yield Finding(Level.NOTE, name, says, "To test it: phone-verify send NUMBER", id="PV710")
        return
    if lacks:
        advice = f"Add it in the provider's panel: see the page of {driver.scheme} in the documentation."
        yield Finding(Level.WARNING, name, f"{driver.name}: {lacks}.", advice, id="PV709")


def _refusals(driver: Driver, name: str) -> Mapping[FailureKind, tuple[Level, str, str, str]]:
    """Return what a refusal means for the site's owner, how to fix it, and the finding's id."""
    look = f"Check that this machine can connect to that host. It is set in {name}, or is the provider's default."
    if driver.is_local:
        look = f"Start the server at that address (phone-verify sandbox), or set another host in {name}."
    credential = f"Check {name}: the credential as the provider's panel shows it, percent-encoded."
    return {
        FailureKind.CONFIGURATION: (Level.ERROR, "refused the credential", credential, "PV703"),
        FailureKind.BAD_NUMBER: (Level.ERROR, "refused the credential", credential, "PV703"),
        FailureKind.BALANCE: (Level.ERROR, "reports that the balance is used up", "Top up your account.", "PV704"),
        FailureKind.TRANSIENT: (Level.ERROR, "could not be reached", look, "PV706"),
        FailureKind.RATE: (Level.WARNING, "reports too many requests", "Try again later.", "PV707"),
        FailureKind.UNKNOWN: (
            Level.WARNING,
            "gave an undocumented response",
            "Test it: phone-verify send NUMBER",
            "PV708",
        ),
    }
