"""What a peer says, parsed, against the protocol's table said in other words.

In: a line's bytes.  Out: an exception where they differ.  Never: an LF in a line.
"""

from __future__ import annotations

from nettool.wire import requests
from nettool.wire.requests import BadLine, Request

TOKENS = [b"/join ", b"/leave ", b"/who", b"/topics", b"/watch", b"/unwatch", b"/ping ", b"/help", b"/quit"]
TOKENS += [b"#a", b", ", b",", b": ", b":", b" ", b"\t", b"\r", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xc2\xa0", b"bob"]
WHITE = b" \t\n\r\x0b\x0c"
BARE: dict[bytes, Request] = {
    b"/topics": requests.Topics(),
    b"/watch": requests.Watch(),
    b"/unwatch": requests.Unwatch(),
    b"/help": requests.Help(),
    b"/quit": requests.Quit(),
}


def plain(line: bytes) -> Request | None:
    """What a line means; nothing if it is a bad one."""
    if line[:1] == b"/":
        word, *after = line.split(b" ", 1)
        rest = after[0] if after else b""
        words = [part for part in rest.translate(bytes.maketrans(WHITE, b" " * len(WHITE))).split(b" ") if part]
        if word == b"/join" or word == b"/leave":
            items = _elements(rest)
            kind = requests.Join if word == b"/join" else requests.Leave
            return kind(items) if items else None
        if word == b"/ping":
            return requests.Ping(rest)
        if word == b"/who":
            return None if len(words) > 1 else requests.Who(b"".join(words))
        if word in BARE:
            return None if words else BARE[word]
        return requests.Unknown(word)
    at = line.find(b":")
    addresses = _elements(line[: max(at, 0)])
    if at < 0 or not addresses:
        return None
    after_colon = line[at + 1 :]
    return requests.Send(addresses, after_colon.removeprefix(b" "))


def _elements(text: bytes) -> tuple[bytes, ...]:
    return tuple(part.strip(WHITE) for part in text.split(b",") if part.strip(WHITE))


def parsed(line: bytes) -> Request | None:
    """What the parser makes of a line; nothing if it says that it is a bad one."""
    try:
        return requests.parse(line)
    except BadLine:
        return None


def check(data: bytes) -> None:
    """Each of some lines."""
    for line in data.split(b"\n"):
        request = parsed(line)
        assert request == plain(line), f"{line!r} is {plain(line)}, not {request}"
        if request is not None:
            check_rendering(request)
        login = requests.parse_login(line)
        assert login.name == line.split(b" ")[0]
        assert requests.parse_login(requests.render(login)) == login


def check_rendering(request: Request) -> None:
    """Parsing what was rendered gives the same, but for an address that looks like a command."""
    line = requests.render(request)
    assert b"\n" not in line
    if isinstance(request, requests.Send) and request.addresses[0][:1] == b"/":
        assert requests.parse_send(line) == request
        return
    assert requests.parse(line) == request
    assert requests.render(requests.parse(line)) == line
