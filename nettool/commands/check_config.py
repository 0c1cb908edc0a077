"""`nettool check-config`."""

from __future__ import annotations

import click

from nettool.commands.exits import Exit
from nettool.errors import SettingError
from nettool.options import Configuration


@click.command("check-config", short_help="Say what is wrong with a configuration file.")
@click.argument("file", type=click.Path())
def check_config(file: str) -> int:
    """Say what is wrong with a configuration FILE, all of it at once, or `ok` and its SHA-256.

    Keys, certificates and other files that it names are looked at too, relative to the current directory; whether an
    address is in use is not.  Options and variables that a node may be started with besides are not known here.

    The exit status is 0, or 78 if anything is wrong.
    """
    try:
        reading = Configuration({}, {}, file).read()
    except SettingError as error:
        for mistake in error.mistakes:
            click.echo(mistake, err=True)
        return Exit.CONFIG
    for warning in reading.settings.warnings():
        click.echo(f"{file}: warning: {warning}", err=True)
    click.echo(f"{file}: ok, sha256 {reading.digest}")
    return Exit.OK
