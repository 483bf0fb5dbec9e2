"""The `flask phone-verify` commands: those of `phone-verify` for the loaded application, and some more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click
from flask import Flask, current_app
from flask.cli import AppGroup, ScriptInfo

from phone_verify import InvalidPhoneError, PhoneNumber, StoreError
from phone_verify.adoption.duplicates import Duplicates
from phone_verify.adoption.report import Report, written_to
from phone_verify.cli import site_loader
from phone_verify.cli.commands.config import config
from phone_verify.cli.commands.doctor import doctor
from phone_verify.cli.commands.fraud import fraud
from phone_verify.cli.commands.keys import keys
from phone_verify.cli.commands.report import report
from phone_verify.cli.commands.routes import routes
from phone_verify.cli.commands.schema import schema
from phone_verify.cli.commands.send import send
from phone_verify.cli.commands.services import services
from phone_verify.cli.progress import progress
from phone_verify.doctor import Finding, Level
from phone_verify.errors import ConfigurationError

from . import adoption, conf, renumbering
from .state import KEY, AppState, current_state

_BATCH = 1000

commands = AppGroup("phone-verify", help="Verification of phone numbers.")


def load(target: str) -> site_loader.SiteTarget:
    """Return the site of this application, for `phone-verify --flask`. `target` is written as in FLASK_APP."""
    app, refusal = None, None
    with conf.collect_configs() as seen:
        try:
            app = ScriptInfo(app_import_path=target).load_app()
        except ConfigurationError as error:
            refusal = error
    if app is not None and isinstance(here := app.extensions.get(KEY), AppState):
        return _target(app, here)
    if seen:
        return site_loader.SiteTarget(seen[-1])
    if refusal is not None:
        return site_loader.SiteTarget(None, [Finding(Level.ERROR, "", refusal.problem, refusal.advice, id="PV105")])
    raise click.ClickException(f"{target} has no phone_verify: write PhoneVerify(app) where you create the application")


def _site() -> site_loader.SiteTarget:
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return _target(app, current_state())


def _target(app: Flask, here: AppState) -> site_loader.SiteTarget:
    return site_loader.SiteTarget(here.given, _faults(app, here), lambda: _findings_of_users(app))


def _faults(app: Flask, here: AppState) -> list[Finding]:
    """Return what the application lacks for sign-in: a warning, since not every site signs users in by phone."""
    problem = here.accounts.problem(app)
    if problem is None:
        return []
    says = f"{problem.problem[:1].upper()}{problem.problem[1:]}."
    return [Finding(Level.WARNING, "", says, problem.advice, id="PV107")]


def _findings_of_users(app: Flask) -> Sequence[Finding]:
    """Return a warning if the first users have numbers in another spelling than E.164."""
    with app.app_context():
        accounts = current_state().accounts
        if accounts.users_with_phones is None:
            return []
        page = next(adoption.entries(accounts, adoption.site_regions()), [])
    if all(entry.is_e164 for entry in page):
        return []
    says = "Users have a number that is not stored in E.164, so user_for_phone does not find them by it."
    advice = "Run flask phone-verify adopt --trust; see docs/flask.md, You already have users with numbers."
    return [Finding(Level.WARNING, "", says, advice, id="PV811")]


for _name, _command in (("doctor", doctor), ("config", config), ("routes", routes), ("report", report), ("test", send)):
    _run, _params = site_loader.for_this_site(_command, _site)
    commands.command(_name, params=[*_params], help=_command.help)(_run)

commands.add_command(site_loader.group_for_this_site(keys, _site, AppGroup))
commands.add_command(site_loader.group_for_this_site(services, _site, AppGroup))
commands.add_command(site_loader.group_for_this_site(fraud, _site, AppGroup))

_make_tables, _ = site_loader.for_this_site(schema, _site)


@commands.command("init-db")
def init_db() -> None:
    """Create or migrate the SQL store's tables.

    If PhoneVerify uses Flask-SQLAlchemy's db, the tables belong to the site, and Flask-Migrate creates them if it is
    installed.
    """
    here = current_state()
    if here.database is None:
        _make_tables()
    elif "migrate" in current_app.extensions:
        raise click.ClickException("the tables are in your migrations: run flask db migrate, then flask db upgrade")
    else:
        here.database.create_tables()
        click.echo("The tables are made.")


@commands.command()
@click.option("--region", help="Region of national numbers, like IR. Default: the setting REGION.")
@click.option("--trust", is_flag=True, help="Store the numbers in E.164, by which their users sign in.")
@click.option("--dry-run", is_flag=True, help="Change nothing, also with --trust.")
@click.option("--report", metavar="FILE", help="Write the numbers that need a decision as CSV. It contains full "
              "numbers: only you can read the file (mode 0600). - is standard output. Without it the terminal shows "
              "some of them, masked.")  # fmt: skip
def adopt(region: str | None, trust: bool, dry_run: bool, report: str | None) -> None:
    """Adopt the numbers that your users have in another spelling than E.164.

    Reads users by @phone_verify.users_with_phones. Without --trust it only reports. With --trust
    every number that is one user's alone is stored in E.164 by @phone_verify.adopt_phone. Numbers
    of several users and unreadable ones are reported and stay as they are. It can be run again, and
    while the site is running.
    """
    accounts, trusts = current_state().accounts, trust and not dry_run
    duplicates = Duplicates()
    try:
        if trusts and accounts.adopt_phone is None:
            raise ConfigurationError(adoption.MISSING_ADOPT)
        regions = adoption.site_regions(region)
        with progress("Reading numbers", None) as advance:
            for page in adoption.entries(accounts, regions):
                duplicates.add((entry.user.get_id(), entry.phone) for entry in page if entry.phone)
                advance(len(page))
        with written_to(report) as file, progress("Adopting" if trusts else "Checking", None) as advance:
            found = Report(file)
            for page in adoption.entries(accounts, regions):
                for entry in page:
                    act = partial(adoption.adopt, accounts) if trusts else adoption.decide
                    found.add(act(entry, duplicates), entry.user.get_id(), entry.text, entry.phone)
                advance(len(page))
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"--report: {error.strerror}") from None
    finally:
        duplicates.close()
    for line in found.summary(trusts=trusts):
        click.echo(line, err=report == "-")


@commands.command()
def purge() -> None:
    """Drop verifications and counters that are over.

    Every start drops two of them, so this is for a site that was busier once than it is now, or that wants its tables
    small.
    """
    gone = 0
    try:
        while dropped := current_state().site.verifier.purge(_BATCH):
            gone += dropped
    except StoreError as error:
        raise click.ClickException(f"{gone} were dropped, then the store did not answer: {error}") from None
    click.echo(f"{gone} verifications and counters were dropped.")


@commands.command()
@click.argument("number")
@click.option("--region", help="Of a number in national form, like IR; the setting REGION if not named.")
@click.option("--yes", is_flag=True, help="Erase it. There is no way back.")
def erase(number: str, region: str | None, yes: bool) -> None:
    """Erase all that the store keeps of NUMBER: its verifications and counters, open ones too.

    Users are the site's own, and stay. Erases only with --yes.
    """
    verifier = current_state().site.verifier
    try:
        phone = PhoneNumber.lookup(number, region or verifier.policy.region)
    except InvalidPhoneError as error:
        raise click.BadParameter(str(error), param_hint="NUMBER") from None
    if not yes:
        click.echo(f"Nothing was erased. To erase what is kept of {phone.hint}: add --yes")
        return
    try:
        gone = verifier.erase(phone)
    except StoreError as error:
        raise click.ClickException(f"nothing was erased, the store does not answer: {error}") from None
    click.echo(f"{phone.hint} is erased, {gone} verifications. Users with this number are yours to change or delete.")


@commands.command()
@click.argument("number")
@click.option("--region", help="Region of a national number, like IR. Default: the setting REGION.")
def unlock(number: str, region: str | None) -> None:
    """Drop the wrong answers counted for NUMBER and every lock they caused.

    For a user whom support knows. Quotas of sends stay as they are.
    """
    verifier = current_state().site.verifier
    try:
        phone = PhoneNumber.lookup(number, region or verifier.policy.region)
    except InvalidPhoneError as error:
        raise click.BadParameter(str(error), param_hint="NUMBER") from None
    try:
        unlocked = verifier.unlock(phone)
    except StoreError as error:
        raise click.ClickException(f"nothing was unlocked, the store does not answer: {error}") from None
    click.echo(f"{phone.hint} is unlocked." if unlocked else f"{phone.hint} had no wrong answers and no lock.")


commands.add_command(renumbering.renumber)
