"""
A web program with a node inside: browsers and peers hear the same topics.

    python web_with_node.py tcp:8080:interface=127.0.0.1 tcp:6388:interface=127.0.0.1

    curl -N http://127.0.0.1:8080/topics/news               hears #news, as server-sent events
    curl -d 'it rains' http://127.0.0.1:8080/topics/news    says it on #news
    nc 127.0.0.1 6388                                       a peer like any other

Whoever can reach it may hear and say anything: a program for others would first ask who they are.
"""

import json
import re
import secrets
import sys
from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from nettool.embed import Node
from nettool.wire.names import is_topic

MAX_TEXT = 60 * 1024
HEARD = re.compile(rb"from (\S+) to \S+: (.*)", re.DOTALL)


class Lines(LineOnlyReceiver):
    """A peer inside this program."""

    delimiter = b"\n"
    MAX_LENGTH = 128 * 1024  # a line of 64 KiB, and what the node puts before it


class Publisher(Lines):
    """Says what was posted.  A ping is answered when all before it has been routed, or refused."""

    def connectionMade(self):
        self.posts, self.refusal = deque(), b""
        self.sendLine(b"web")

    def publish(self, topic, text):
        """Fires with the node's answer, which is nothing if the text was taken."""
        self.transport.writeSequence([topic, b": ", text, b"\n/ping\n"])
        self.posts.append(Deferred())
        return self.posts[-1]

    def lineReceived(self, line):
        if line == b"pong":
            self.posts.popleft().callback(self.refusal)
            self.refusal = b""
        elif line.startswith(b"error "):
            self.refusal = line

    def connectionLost(self, reason):
        while self.posts:
            self.posts.popleft().callback(b"the node ends")


class Hearer(Lines):
    """One browser's peer: what it hears goes out as events, as fast as the browser takes them."""

    def __init__(self, request):
        self.request = request

    def connectionMade(self):
        self.request.setHeader(b"content-type", b"text/event-stream; charset=utf-8")
        self.request.registerProducer(self.transport, True)  # a slow browser is a slow peer
        self.request.notifyFinish().addErrback(self.browser_is_gone)
        self.sendLine(b"web-" + secrets.token_hex(8).encode())
        self.sendLine(b"/join " + self.request.topic)

    def lineReceived(self, line):
        if heard := HEARD.fullmatch(line):
            sender, text = (part.decode(errors="replace") for part in heard.groups())
            self.tell("message", {"from": sender, "text": text})
        elif line.startswith((b"ok join ", b"error ", b"bye ")):
            self.tell("node", line.decode(errors="replace"))

    def tell(self, event, data):
        if self.request:
            self.request.write(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())

    def browser_is_gone(self, reason):
        self.request = None
        self.transport.abortConnection()

    def connectionLost(self, reason):
        if self.request:
            self.request.unregisterProducer()
            self.request.finish()


class Limited(Request):
    """A request that keeps little more of its body than may be said."""

    def handleContentChunk(self, data):
        if self.content.tell() <= MAX_TEXT:
            super().handleContentChunk(data)


class Topics(Resource):
    """/topics/<topic>: GET hears it, POST says a line on it."""

    isLeaf = True

    def __init__(self, node):
        super().__init__()
        self.node = node
        self.publisher = node.connect(Publisher())

    def render(self, request):
        request.topic = b"#" + b"/".join(request.postpath)
        if not is_topic(request.topic):  # nor anything that would be another line, or another address
            return answer(request, 404, b"no such topic")
        if not self.node.running:
            return answer(request, 503, b"the node ends")
        return super().render(request)

    def render_GET(self, request):
        self.node.connect(Hearer(request))
        return NOT_DONE_YET

    def render_HEAD(self, request):
        return answer(request, 405, b"GET or POST")

    def render_POST(self, request):
        text = request.content.read().rstrip(b"\r\n")
        if len(text) > MAX_TEXT or b"\n" in text:
            return answer(request, 400, b"not one line of at most 60 KiB")
        taken = self.publisher.publish(request.topic, text)
        request.notifyFinish().addErrback(lambda reason: taken.cancel())
        taken.addCallback(lambda refusal: request.write(answer(request, 400 if refusal else 200, refusal or b"said")))
        taken.addCallbacks(lambda _: request.finish(), lambda cancelled: None)
        return NOT_DONE_YET


def answer(request, code, text):
    request.setResponseCode(code)
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    return text + b"\n"


async def main(reactor, web="tcp:8080:interface=127.0.0.1", peers="tcp:6388:interface=127.0.0.1"):
    """Serve until a signal stops the reactor, which first drains the node."""
    async with Node(reactor, listen=[peers]) as node:
        root = Resource()
        root.putChild(b"topics", Topics(node))
        port = await serverFromString(reactor, web).listen(Site(root, requestFactory=Limited))
        print(f"http://127.0.0.1:{port.getHost().port}/topics/ and {node.where[0]}", flush=True)
        await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
