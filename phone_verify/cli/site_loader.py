"""Which site a command looks at: a Django project, a Flask application, or the environment alone."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from traceback import extract_tb
from typing import Any

import click

from ..config.site import SiteConfig
from ..doctor import Finding

#: Each adapter names here its function from the target of an option to a `SiteTarget`.
ENTRY_POINTS = "phone_verify.sites"

_MANAGED = re.compile(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""")


@dataclass(frozen=True, slots=True)
class SiteTarget:
    """A site as a command sees it: what its owner wrote, or None where that cannot be had; and what is wrong beside."""

    given: SiteConfig | None
    faults: Sequence[Finding] = ()


def of_a_site(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a site, and the `SiteTarget` as its argument `site`."""

    @click.option("--django", metavar="SETTINGS_MODULE", help="The Django project with these settings.")
    @click.option("--flask", metavar="MODULE:APP", help="The Flask application, or the factory that makes it.")
    @click.option("--environment", is_flag=True, help="The variables PHONE_VERIFY_… alone.")
    @functools.wraps(command)
    def found(*, django: str | None, flask: str | None, environment: bool, **rest: Any) -> None:
        if sum(map(bool, (django, flask, environment))) > 1:
            raise click.UsageError("name one site: --django, --flask or --environment")
        command(site=_find(django, flask, environment=environment), **rest)

    return found


#: The options that name a site.
_NAMING = ("django", "flask", "environment")


def for_this_site(
    command: click.Command, find: Callable[[], SiteTarget]
) -> tuple[Callable[..., None], Sequence[click.Parameter]]:
    """What the command does for the one site that `find` returns, and its options without those that name a site."""
    run: Callable[..., None] = command.callback.__wrapped__  # type: ignore[union-attr]

    def for_it(**rest: Any) -> None:
        run(site=find(), **rest)

    return for_it, [param for param in command.params if param.name not in _NAMING]


def _find(django: str | None, flask: str | None, *, environment: bool) -> SiteTarget:
    if django is None and flask is None and not environment:
        django, flask, why = _here()
        if why:
            click.echo(f"{why} (--environment: the variables PHONE_VERIFY_… alone)", err=True)
    if django is not None:
        return _load("django", "the Django settings", django)
    if flask is not None:
        return _load("flask", "the Flask application", flask)
    return SiteTarget(SiteConfig(environ=os.environ))


def _here() -> tuple[str | None, str | None, str]:
    """The Django settings or the Flask application that this folder or the environment means, and why."""
    if module := os.environ.get("DJANGO_SETTINGS_MODULE"):
        return module, None, f"The Django site of {module}: DJANGO_SETTINGS_MODULE is set."
    if application := os.environ.get("FLASK_APP"):
        return None, application, f"The Flask site of {application}: FLASK_APP is set."
    manage = Path("manage.py")
    if manage.is_file() and (named := _MANAGED.search(manage.read_text("utf-8", "replace"))):
        return named[1], None, f"The Django site of {named[1]}: manage.py is here."
    return None, None, ""


def _load(framework: str, what: str, target: str) -> SiteTarget:
    with _loading(framework, f"{what} {target}"):
        for entry in entry_points(group=ENTRY_POINTS, name=framework):
            load: Callable[[str], SiteTarget] = entry.load()
            return load(target)
    raise click.ClickException(f"phone_verify is not installed with its entry points: reinstall it for {framework}")


@contextmanager
def _loading(framework: str, what: str) -> Iterator[None]:
    """Whatever a site's own code raises, told in a line; its text is shown only where it cannot hold a secret."""
    try:
        yield
    except click.UsageError as error:  # Flask's own word that there is no application
        raise click.ClickException(f"cannot load {what}: {error.message.strip().splitlines()[0]}") from None
    except click.ClickException:
        raise
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == framework:
            extra = f"pip install 'phone-verify[{framework}]'"
            raise click.ClickException(f"{what} needs {framework}: {extra}, or add --environment") from None
        raise click.ClickException(f"cannot load {what}: there is no module {error.name}") from None
    except Exception as error:  # noqa: BLE001 - a site's own code may raise anything
        place = extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        raise click.ClickException(
            f"cannot load {what}: {kind} in {place.filename}, line {place.lineno}; import it by hand to see all of it"
        ) from None
