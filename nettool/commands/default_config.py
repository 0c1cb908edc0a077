"""`nettool default-config`."""

from __future__ import annotations

import click

from nettool.options.pages import default_config as text


@click.command("default-config", short_help="Print a configuration file of all defaults.")
def default_config() -> None:
    """Print a configuration file that reproduces all defaults, with what each key means.

    \b
    nettool default-config > nettool.toml
    """
    click.echo(text(), nl=False)
