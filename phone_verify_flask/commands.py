"""The group `flask phone-verify`, whose commands are loaded at their first use: a server needs none of them."""

from __future__ import annotations

import click
from flask.cli import AppGroup


class _Commands(AppGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return _loaded().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _loaded().get_command(ctx, cmd_name)


def _loaded() -> click.Group:
    from .cli import commands

    return commands


group = _Commands("phone-verify", help="Verification of phone numbers.")
