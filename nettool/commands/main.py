"""
The command itself.

In: its words.  Out: a subcommand's exit status; 64 and one line for words that it cannot make sense of.
Never: a traceback for a mistake of the user's, or for a pipe that nobody reads any more.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from nettool import __version__
from nettool.commands.check_config import check_config
from nettool.commands.default_config import default_config
from nettool.commands.exits import Exit
from nettool.commands.identity import identity


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(__version__, message="nettool %(version)s")
def nettool() -> None:
    """Tools for a nettool node.  The node itself is started by `twistd nettool`."""


nettool.add_command(check_config)
nettool.add_command(default_config)
nettool.add_command(identity)


def main(words: Sequence[str] | None = None) -> int:
    """Carry out one command; its exit status.  If nobody reads its output any more click ends it, with status 1."""
    try:
        status = nettool.main(words, prog_name="nettool", standalone_mode=False)
        return int(status or Exit.OK)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see `{context.command_path} --help`" if context is not None else ""
        click.echo(f"nettool: {error.format_message().rstrip('.')}{hint}", err=True)
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
