"""
web: what the node says over HTTP, to operators and their programs.

In: requests, from whoever can connect.  Out: the status page, metrics, health, and the same facts as JSON.  Never: a
change to the node; text of peers as HTML; a connection that lasts, or one that keeps another one out.

`site` connections, their number and time · `pages` who may ask, and how · `answers` what there is to ask for · `lists`
lists and their parameters · `facts` what is known, looked at no more often than it costs · `guard` the token, and names
that are not ours · `static` the page itself
"""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolFactory

from nettool.ops.web.answers import Answers
from nettool.ops.web.facts import Facts
from nettool.ops.web.guard import token_in
from nettool.ops.web.pages import Pages
from nettool.ops.web.site import Site
from nettool.service import NodeService


def site(node: NodeService, token_file: str = "") -> IProtocolFactory:
    """A factory for listeners of the web.

    The file's token has to come with each request for what the node knows; without a file none has to.  The file is
    read now; `SettingError` for one that cannot be used.
    """
    token = token_in(token_file) if token_file else b""
    return Site(Pages(Answers(node, Facts(node, node.reactor)), token), node.reactor)
