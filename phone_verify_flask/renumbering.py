"""`flask phone-verify renumber`: moves the numbers in a column of the site to the form that they have today."""

from __future__ import annotations

from typing import Any

import click
import flask_login
from flask import current_app
from flask.cli import with_appcontext
from werkzeug.utils import import_string

from phone_verify import PhoneNumber
from phone_verify.adoption.user_names import shown_key

_BATCH = 1000


@click.command()
@click.argument("column", required=False)
@click.option("--dry-run", is_flag=True, help="Count and report, and change nothing.")
@with_appcontext
def renumber(column: str | None, dry_run: bool) -> None:
    """Move stored numbers of former numbering plans (Argentina, Benin, Brazil, Ivory Coast, Mexico) to today's.

    COLUMN is a column of Flask-SQLAlchemy that holds numbers in E.164, like shop.models:User.phone. Default: the
    column phone of the user model. A number whose new form is stored too is reported and stays. Sends nothing and ends
    no session; it can be run again.
    """
    if "sqlalchemy" not in current_app.extensions:
        raise click.ClickException(
            "this command needs Flask-SQLAlchemy. With another library, store "
            "PhoneNumber.stored(text).current.e164 in place of each text yourself"
        )
    database = current_app.extensions["sqlalchemy"]
    attribute = _named(database, column) if column else _users_phone(database)
    moved, conflicts = _move(database, attribute, dry_run=dry_run)
    click.echo(f"{attribute}: {moved} {'would move' if dry_run else 'moved'}")
    if conflicts:
        raise click.ClickException(
            f"{conflicts} numbers stay: remove one of the two from its user, then run this again"
        )


def _named(database: Any, column: str) -> Any:
    module, _, path = column.partition(":")
    model, _, name = path.rpartition(".")
    try:
        attribute = getattr(import_string(f"{module}:{model}"), name)
        return database.inspect(attribute.class_).attrs[name].class_attribute
    except (ImportError, AttributeError, KeyError, ValueError):
        raise click.BadParameter("use the form shop.models:User.phone", param_hint="COLUMN") from None


def _users_phone(database: Any) -> Any:
    models = [mapper.class_ for mapper in database.Model.registry.mappers]
    found = [model.phone for model in models if issubclass(model, flask_login.UserMixin) and hasattr(model, "phone")]
    if len(found) != 1:
        raise click.UsageError("name the column that holds the numbers, like shop.models:User.phone")
    return found[0]


def _move(database: Any, attribute: Any, *, dry_run: bool) -> tuple[int, int]:
    """Move the numbers, each batch in a transaction; return how many moved, and how many could not."""
    session, select, keys = database.session, database.select, database.inspect(attribute.class_).primary_key
    if len(keys) != 1:
        raise click.ClickException(f"{attribute.class_.__name__} has a primary key of several columns")
    key, change = keys[0], database.update(attribute.class_)
    changed = database.or_(*(attribute.startswith(prefix) for prefix in PhoneNumber.renumbered_prefixes))
    chosen = select(key, attribute).where(changed).order_by(key).limit(_BATCH)
    last, moved, conflicts, read = None, 0, 0, 0
    while batch := session.execute(chosen if last is None else chosen.where(key > last)).all():
        for row, old in batch:
            new = PhoneNumber(str(old)).current.e164
            if new == old:
                continue
            taken = session.execute(select(key).where(attribute == new).limit(1)).first() is not None
            if not taken and not dry_run:
                try:
                    with session.begin_nested():
                        session.execute(change.where(key == row, attribute == old).values({attribute.key: new}))
                except database.exc.IntegrityError:  # stored by a concurrent request
                    taken = True
            moved, conflicts = moved + (not taken), conflicts + taken
            if taken:
                phone = PhoneNumber(str(old))
                click.echo(f"row {shown_key(row, phone)} stays: {phone.hint} and its new form exist")
        session.commit()
        last, read = batch[-1][0], read + len(batch)
        click.echo(f"{read} read", err=True)
    return moved, conflicts
