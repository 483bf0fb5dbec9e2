"""Selection of a command's site: a Django project, a Flask application, or the environment alone."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from secrets import token_urlsafe
from traceback import extract_tb
from typing import Any

import click

from ..config.settings import Settings
from ..config.site import SiteConfig
from ..doctor import Finding
from ..errors import ConfigurationError, StoreError
from .output import console

#: The entry point group in which each adapter registers its function from an option's value to a
#: `SiteTarget`.
ENTRY_POINTS = "phone_verify.sites"

_OR_ELSE = "(--environment: use environment variables only)"
_MANAGED = re.compile(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""")


@dataclass(frozen=True, slots=True)
class SiteTarget:
    """The site of a command: its configuration, or None if it could not be loaded; and other
    findings.
    """

    given: SiteConfig | None
    faults: Sequence[Finding] = ()
    #: Queries the site's own users, for findings about their numbers.
    users: Callable[[], Sequence[Finding]] = tuple

    def config(self) -> SiteConfig:
        """Return the configuration. Raises `ConfigurationError` that says why it could not be loaded."""
        if self.given is None:
            raise ConfigurationError(self.faults[0].says)
        return self.given


@contextmanager
def reported(what: str = "The database") -> Iterator[None]:
    """Report errors of the configuration, and of what does not answer, as errors of the command."""
    try:
        yield
    except ConfigurationError as error:
        raise click.ClickException(f"{error}\nRun `phone-verify doctor` to find all problems.") from None
    except StoreError as error:
        raise click.ClickException(f"{what} does not answer: {error}.") from None


def of_a_site(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select a site, and pass the `SiteTarget` as the argument `site`."""

    @click.option("--django", metavar="SETTINGS_MODULE", help="Django settings module.")
    @click.option("--flask", metavar="MODULE:APP", help="Flask application, or its factory.")
    @click.option("--environment", is_flag=True, help="Use the PHONE_VERIFY_… environment variables only.")
    @functools.wraps(command)
    def found(*, django: str | None, flask: str | None, environment: bool, **rest: Any) -> None:
        if sum(map(bool, (django, flask, environment))) > 1:
            raise click.UsageError("choose one of --django, --flask and --environment")
        command(site=_find(django, flask, environment=environment), **rest)

    return found


def with_keys(given: SiteConfig) -> SiteConfig:
    """Add a random key if the store is in memory and no keys are set: nothing outlives this run."""
    settings = Settings.from_mapping(given.values, given.environ)
    alone = not given.framework and (settings.store or given.default_store()).startswith("memory:")
    return replace(given, framework_keys=lambda: [token_urlsafe(48)]) if alone else given


#: The options that select a site.
_NAMING = ("django", "flask", "environment")


def for_this_site(
    command: click.Command, find: Callable[[], SiteTarget]
) -> tuple[Callable[..., None], Sequence[click.Parameter]]:
    """Return the command bound to the site that `find` returns, and its options except those that
    select a site.
    """
    run: Callable[..., None] = command.callback.__wrapped__  # type: ignore[union-attr]

    def for_it(**rest: Any) -> None:
        run(site=find(), **rest)

    return for_it, [param for param in command.params if param.name not in _NAMING]


def group_for_this_site(
    group: click.Group, find: Callable[[], SiteTarget], kind: type[click.Group] = click.Group
) -> click.Group:
    """Return a group of this kind with the same commands, bound to the site that `find` returns."""
    bound = kind(group.name, help=group.help, short_help=group.short_help)
    for name, command in group.commands.items():
        run, params = for_this_site(command, find)
        bound.command(name, params=[*params], help=command.help)(run)
    return bound


def _find(django: str | None, flask: str | None, *, environment: bool) -> SiteTarget:
    if django is None and flask is None and not environment:
        django, flask, why = _here()
        console(stderr=True).print(why)
    if django is not None:
        return _load("django", "the Django settings", django)
    if flask is not None:
        return _load("flask", "the Flask application", flask)
    # The settings may name modules of the site, as `python:mysite.sms.send` does. At the end, so that
    # no file of the folder replaces an installed module.
    sys.path.append(os.getcwd())
    return SiteTarget(SiteConfig(environ=os.environ))


def _here() -> tuple[str | None, str | None, str]:
    """Return the Django settings or Flask application implied by the environment or this folder,
    and the reason.
    """
    if module := os.environ.get("DJANGO_SETTINGS_MODULE"):
        return module, None, f"Using Django settings {module}: DJANGO_SETTINGS_MODULE is set. {_OR_ELSE}"
    if application := os.environ.get("FLASK_APP"):
        return None, application, f"Using Flask application {application}: FLASK_APP is set. {_OR_ELSE}"
    manage = Path("manage.py")
    if manage.is_file() and (module := settings_module_of(manage)):
        return module, None, f"Using Django settings {module}: found in manage.py. {_OR_ELSE}"
    return None, None, "No Django or Flask site found here: using environment variables only (see --django, --flask)"


def settings_module_of(manage: Path) -> str | None:
    """Return the settings module that a manage.py names, or None."""
    found = _MANAGED.search(manage.read_text("utf-8", "replace"))
    return found[1] if found else None


def _load(framework: str, what: str, target: str) -> SiteTarget:
    with _loading(framework, f"{what} {target}"):
        for entry in entry_points(group=ENTRY_POINTS, name=framework):
            load: Callable[[str], SiteTarget] = entry.load()
            return load(target)
    raise click.ClickException(f"phone_verify is not installed with its entry points: reinstall it for {framework}")


@contextmanager
def _loading(framework: str, what: str) -> Iterator[None]:
    """Report any exception of a site's code in one line; its text is shown only if it cannot
    contain a secret.
    """
    try:
        yield
    except click.UsageError as error:  # Flask's error when it finds no application
        raise click.ClickException(f"cannot load {what}: {error.message.strip().splitlines()[0]}") from None
    except click.ClickException:
        raise
    except ConfigurationError as error:
        raise click.ClickException(f"cannot load {what}: {error}") from None
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == framework:
            extra = f"pip install 'phone-verify[{framework}]'"
            raise click.ClickException(f"{what} needs {framework}: {extra}, or add --environment") from None
        raise click.ClickException(f"cannot load {what}: no module named {error.name}") from None
    except Exception as error:  # noqa: BLE001 - a site's own code may raise anything
        place = extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        raise click.ClickException(
            f"cannot load {what}: {kind} in {place.filename}, line {place.lineno}; import it to see the traceback"
        ) from None
