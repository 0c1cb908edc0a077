"""
Requests: who may ask for what, and what every answer carries.

In: requests, each whole.  Out: answers.  Never: a traceback to whoever asks; an answer that a browser may keep, frame,
or take for something else than it is.
"""

from __future__ import annotations

from twisted.logger import Logger, LogLevel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from nettool.ops.web.answers import Answer, Answers, Path, in_json
from nettool.ops.web.guard import brings, is_ours
from nettool.ops.web.lists import BadQuery

METHODS = (b"GET", b"HEAD")

HEADERS = {
    b"Content-Security-Policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"X-Content-Type-Options": b"nosniff",
    b"X-Frame-Options": b"DENY",
    b"Referrer-Policy": b"no-referrer",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Cache-Control": b"no-store",
}
"""Of every answer."""


class Pages(Resource):
    """All paths."""

    isLeaf = True
    _log = Logger()

    def __init__(self, answers: Answers, token: bytes) -> None:
        """An empty token is none."""
        super().__init__()
        self._answers = answers
        self._token = token

    def render(self, request: Request) -> int:
        """Answer."""
        answer = self._answer(request)
        headers = request.responseHeaders
        headers.removeHeader(b"Server")
        for name, value in HEADERS.items():
            headers.setRawHeaders(name, [value])
        headers.setRawHeaders(b"Content-Type", [answer.kind.encode()])
        headers.setRawHeaders(b"Content-Length", [b"%d" % len(answer.body)])
        request.setResponseCode(answer.status)
        request.write(b"" if request.method == b"HEAD" else answer.body)
        request.finish()
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Answer:
        hosts = request.requestHeaders.getRawHeaders(b"Host", [])
        if not is_ours(request.getHost(), hosts):
            self._refused(request, "its Host is another machine's name")
            return in_json({"error": "Host: expected localhost or an address, since this came by loopback"}, 403)
        path = self._answers.paths.get(request.path)
        if path is None:
            there = ", ".join(name.decode() for name in self._answers.paths)
            return in_json({"error": f"expected one of {there}"}, 404)
        if request.method not in METHODS:
            request.responseHeaders.setRawHeaders(b"Allow", [b", ".join(METHODS)])
            return in_json({"error": "expected GET or HEAD"}, 405)
        if self._token and not path.free:
            if not brings(self._token, request.requestHeaders.getRawHeaders(b"Authorization", [])):
                self._refused(request, "it does not bring the token")
                request.responseHeaders.setRawHeaders(b"WWW-Authenticate", [b'Bearer realm="nettool"'])
                return in_json({"error": "expected the header Authorization: Bearer and the token"}, 401)
        return self._told(path, request)

    def _told(self, path: Path, request: Request) -> Answer:
        try:
            return path.answer(request.args)
        except BadQuery as error:
            return in_json({"error": str(error)}, 400)
        except Exception:  # a fault of ours is that request's alone
            where = request.path.decode()  # one of our own
            self._log.failure("{path} failed", level=LogLevel.error, event="web-failed", path=where)
            return in_json({"error": "a fault of the node's own, which its log tells"}, 500)

    def _refused(self, request: Request, why: str) -> None:
        peer = getattr(request.getClientAddress(), "host", "")
        self._log.warn(
            "a request to the web from {peer} was refused: {why}", event="web-refused", peer=str(peer), why=why
        )
