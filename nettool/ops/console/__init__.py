"""
console: a Python prompt inside the node, over SSH.

In: connections from anybody; public keys of those who may come in.  Out: a prompt, or the result of one command, for
them and nobody else.  Never: a password, an empty one included; a key that is built in; a command that is not logged;
a node that waits for a console.

`keys` whose they are · `transport` a connection, and what strangers may not do with it · `auth` who may come in ·
`door` all connections, and their number · `channel` a session · `outflow` its output, bounded · `sitting` an
operator's commands, `prompt` typed, `script` without a prompt · `editor` the line · `completion` the Tab key ·
`interpreter` runs what is typed · `commands` what there is to type · `words` why("bob") · `elsewhere` why("bob@node2").

Importing this imports conch, and that imports the process's reactor: only who opens a manhole does.
"""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolFactory, IReactorTime

from nettool.ops.console.door import AtEnd, Door
from nettool.ops.console.keys import AuthorizedKeys, host_key
from nettool.ops.levers import Levers
from nettool.service import NodeService


def manhole_factory(
    node: NodeService, levers: Levers, state_dir: str, authorized_keys: str, reactor: IReactorTime
) -> IProtocolFactory:
    """A factory for listeners of the manhole.

    The host key is made in the state directory if there is none; the file of authorized keys is read at each login.
    The node tells its consoles when it drains, and closes them at the end.  `SettingError` for what cannot be used.
    """
    authorized = AuthorizedKeys(authorized_keys)
    door = Door(node, levers, host_key(state_dir), authorized, reactor)
    AtEnd(door).setServiceParent(node)
    node.at_end.append(door.node_ended)
    return door
