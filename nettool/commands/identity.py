"""`nettool identity`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from nettool.cluster.identity import Identity, name_kept
from nettool.commands.exits import Exit
from nettool.errors import SettingError
from nettool.options import Configuration
from nettool.options.sources import here
from nettool.settings import NodeSettings


@click.group(short_help="The key by which other nodes know a node.", no_args_is_help=False)
def identity() -> None:
    """The key by which other nodes know a node.

    A node makes it at its first start.  What `show` prints is the line that the others need in their trusted-nodes.
    """


def _which_node(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say of which node; a node's own variables and configuration file say it too."""
    for option in (
        click.option("--config", metavar="FILE", help="The node's configuration, which may say both of these."),
        click.option(
            "--node-name", metavar="NAME", help="The node's name.  [default: as the key was made for, or here]"
        ),
        click.option("--state-dir", metavar="DIR", help="Where the node keeps its key.  [default: as for a node]"),
    ):
        command = option(command)
    return command


@identity.command(short_help="Make a node's key.")
@_which_node
def new(state_dir: str | None, node_name: str | None, config: str | None) -> int:
    """Make a node's key, and print the line for the trusted-nodes of others.

    A key that is there is never overwritten: then nothing is made, and the exit status is 73.

    Run it as the user who runs the node: nobody else can read the key.
    """
    try:
        node = _settings(state_dir, node_name, config)
        made = Identity.make(node.state_dir, node.name)
    except SettingError as error:
        return _say_what_is_wrong(error)
    if made is None:
        click.echo(
            f"nettool: there is a key in {node.state_dir}, which is left as it is: `nettool identity show` prints its "
            "line, and to have another one, move it away first",
            err=True,
        )
        return Exit.CANNOT_CREATE
    click.echo(str(made.public))
    click.echo(f"nettool: made a key in {node.state_dir}", err=True)
    return Exit.OK


@identity.command(short_help="Print the line for the trusted-nodes of others.")
@_which_node
def show(state_dir: str | None, node_name: str | None, config: str | None) -> int:
    """Print the line for the trusted-nodes of others: the node's name and its public key.

    The exit status is 66 if there is no key yet.
    """
    try:
        node = _settings(state_dir, node_name, config)
        found = Identity.find(node.state_dir, node.name)
    except SettingError as error:
        return _say_what_is_wrong(error)
    if found is None:
        click.echo(
            f"nettool: there is no key in {node.state_dir}: a node makes one at its first start, or "
            "`nettool identity new` does",
            err=True,
        )
        return Exit.NO_INPUT
    click.echo(str(found.public))
    return Exit.OK


def _settings(state_dir: str | None, node_name: str | None, config: str | None) -> NodeSettings:
    """What a node would be told; a name that nobody says is the one that the key was made for."""
    flags: dict[str, str | list[str]] = {}
    if state_dir is not None:
        flags["state-dir"] = state_dir
    if node_name is not None:
        flags["node-name"] = node_name
    machine = here(os.environ)
    node = Configuration(flags, os.environ, config, machine).read().settings.node
    if kept := name_kept(node.state_dir):
        machine = replace(machine, node=replace(machine.node, name=kept))
        node = Configuration(flags, os.environ, config, machine).read().settings.node
    return node


def _say_what_is_wrong(error: SettingError) -> int:
    for mistake in error.mistakes:
        click.echo(f"nettool: {mistake}", err=True)
    return Exit.CONFIG
