"""TLS under links: who gets through the handshake, and what is known of the other end then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost

from nettool.cluster.identity import Identity, LinkTls, Refused, TrustedNodes, decide, tls_fault
from nettool.errors import RefusalReason
from tests.cluster.handshakes import (
    InMemory,
    OverTcp,
    Plain,
    Resuming,
    Shown,
    Stranger,
    certificate_of,
    certificate_that_only_openssl_reads,
)
from tests.cluster.secrets import all_of, logged, secret_of, shows

ONE, TWO = Identity.new(b"node1"), Identity.new(b"node2")
ED25519 = Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
OTHER_KINDS: list[Any] = [RSA, ec.generate_private_key(ec.SECP256R1()), ed448.Ed448PrivateKey.generate()]

NOT_1_3 = "the other end does not speak TLS 1.3"
NOT_TLS = "the other end does not speak TLS: it is no door for links"
NOT_OURS = "the other end does not speak nettool-link/1: it is no nettool node, or one of another version"
HTTP = b"GET / HTTP/1.0\r\nHost: node1\r\n\r\n"

streets = pytest.mark.parametrize("street", [InMemory, OverTcp])


async def meet(street: Any, client: Any, server: Any, says: bytes = HTTP) -> tuple[Shown, Shown]:
    """Both ends after the handshake, or after its failure.  An end without a creator speaks no TLS."""
    ends = (Shown() if client else Plain(says), Shown() if server else Plain(says))
    place = street()
    try:
        await place.connect(client, server, ends)
        # What the end of the test brings about is not what is looked at.
        for end in ends:
            end.outcome_then = end.outcome
    finally:
        await place.end()
    return ends


async def outcomes(street: Any, client: Any, server: Any, says: bytes = HTTP) -> tuple[Any, Any]:
    """What each end knows of the other: its key, why it is refused, or what is wrong with its TLS."""
    ends = await meet(street, client, server, says)
    return ends[0].outcome_then, ends[1].outcome_then


@streets
async def test_both_ends_know_each_others_key(street: Any) -> None:
    client, server = await meet(street, LinkTls(TWO), LinkTls(ONE))
    assert (client.key, server.key) == (ONE.public.key, TWO.public.key)
    assert (client.heard, server.heard) == (b"done", b"done")


async def test_many_links_use_one_context() -> None:
    tls = LinkTls(ONE)
    for other in (TWO, Identity.new(b"node3"), TWO):
        assert await outcomes(InMemory, LinkTls(other), tls) == (ONE.public.key, other.public.key)
        assert await outcomes(InMemory, tls, LinkTls(other)) == (other.public.key, ONE.public.key)


@streets
async def test_any_ed25519_certificate_gets_through_and_trust_is_for_its_key(street: Any) -> None:
    authority = Ed25519PrivateKey.generate()
    for certificate in (
        certificate_of(ED25519),  # over since 2001
        certificate_of(ED25519, name="node1"),
        certificate_of(ED25519, names=200),
        certificate_of(ED25519, ca=authority),
        certificate_of(ED25519, ca=RSA),
    ):
        client, server = await outcomes(street, Stranger(ED25519, certificate), LinkTls(ONE))
        assert client == ONE.public.key
        assert server == ED25519.public_key().public_bytes_raw()
        with pytest.raises(Refused) as caught:
            decide(TrustedNodes.of([TWO.public]), ONE.public, b"node2", server)
        assert caught.value.reason is RefusalReason.OTHER_KEY


@streets
async def test_a_client_without_a_certificate_is_refused_with_a_reason(street: Any) -> None:
    client, server = await meet(street, Stranger(), LinkTls(ONE))
    assert client.key == ONE.public.key
    assert server.refused is not None and server.refused.reason is RefusalReason.NO_CERTIFICATE
    assert server.refused.here == "the other end shows no certificate: it is no nettool node"
    assert client.heard == b"done", "it can be told why"


@streets
@pytest.mark.parametrize("key", OTHER_KINDS, ids=lambda key: type(key).__name__)
async def test_a_certificate_with_another_kind_of_key_is_refused_at_either_end(key: Any, street: Any) -> None:
    stranger = Stranger(key, certificate_of(key, ca=None if key is not OTHER_KINDS[2] else ED25519))
    assert await outcomes(street, stranger, LinkTls(ONE)) == (ONE.public.key, RefusalReason.WRONG_KEY_KIND)
    assert await outcomes(street, LinkTls(ONE), stranger) == (RefusalReason.WRONG_KEY_KIND, ONE.public.key)


@streets
async def test_a_certificate_that_only_openssl_can_read_is_refused(street: Any) -> None:
    stranger = Stranger(ED25519, certificate_that_only_openssl_reads(ED25519))
    client, server = await meet(street, stranger, LinkTls(ONE))
    assert client.key == ONE.public.key
    assert server.refused is not None and server.refused.reason is RefusalReason.WRONG_KEY_KIND


@streets
async def test_an_older_tls_is_refused_and_both_ends_can_say_so(street: Any) -> None:
    for version in (SSL.TLS1_2_VERSION, SSL.TLS1_1_VERSION):
        old = Stranger(RSA, certificate_of(RSA), newest=version)
        old.context.set_cipher_list(b"ALL:@SECLEVEL=0")
        assert await outcomes(street, old, LinkTls(ONE)) == (NOT_1_3, NOT_1_3)
        assert await outcomes(street, LinkTls(ONE), old) == (NOT_1_3, NOT_1_3)


@streets
@pytest.mark.parametrize("alpn", [(b"h2",), (b"nettool-link/2",), (b"nettool-link/10",), (b"http/1.1", b"h2")])
async def test_a_client_that_offers_other_protocols_only_is_refused_in_the_handshake(alpn: Any, street: Any) -> None:
    stranger = Stranger(ED25519, certificate_of(ED25519), alpn=alpn)
    assert await outcomes(street, stranger, LinkTls(ONE)) == (NOT_OURS, NOT_OURS)


@streets
async def test_a_client_that_offers_a_newer_protocol_too_is_answered_with_ours(street: Any) -> None:
    newer = Stranger(ED25519, certificate_of(ED25519), alpn=(b"nettool-link/2", b"nettool-link/1"))
    _, server = await outcomes(street, newer, LinkTls(ONE))
    assert server == ED25519.public_key().public_bytes_raw()


@streets
async def test_an_end_that_says_nothing_of_a_protocol_is_no_link(street: Any) -> None:
    stranger = Stranger(ED25519, certificate_of(ED25519), alpn=())
    assert await outcomes(street, stranger, LinkTls(ONE)) == (RefusalReason.NOT_A_LINK,) * 2
    assert await outcomes(street, LinkTls(ONE), stranger) == (RefusalReason.NOT_A_LINK,) * 2


@streets
async def test_a_certificate_that_is_too_large_ends_the_handshake(street: Any) -> None:
    stranger = Stranger(ED25519, certificate_of(ED25519, names=5000))
    client, server = await meet(street, stranger, LinkTls(ONE))
    assert not server.is_done
    assert server.outcome_then == "the other end shows a certificate that is too large: it is no nettool node"
    assert not client.heard


@streets
@pytest.mark.parametrize(
    "says, meaning",
    [
        (HTTP, "the other end speaks HTTP: it is no nettool node"),
        (b"alice\nbob: hello\n", NOT_TLS),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", NOT_TLS),
    ],
)
async def test_a_client_without_tls_is_told_from_a_node(says: bytes, meaning: str, street: Any) -> None:
    _, server = await outcomes(street, None, LinkTls(ONE), says)
    assert server == meaning


@streets
@pytest.mark.parametrize(
    "says", [b"error bad-name: a name has\n", b"HTTP/1.0 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n"]
)
async def test_a_server_without_tls_is_told_from_a_node(says: bytes, street: Any) -> None:
    client, _ = await outcomes(street, LinkTls(ONE), None, says)
    assert client == NOT_TLS


@streets
@pytest.mark.parametrize("resumes", [False, True])
async def test_no_session_is_resumed(resumes: bool, street: Any) -> None:
    """A server that resumes knows who comes again by the key of the first time; it stands here beside ours."""
    server: Any = LinkTls(ONE)
    if resumes:
        server = Stranger(ED25519, certificate_of(ED25519))
        server.context.set_session_id(b"links")
    client = Resuming(ED25519, certificate_of(ED25519))
    own = ED25519.public_key().public_bytes_raw()
    first, second = (Shown(), Shown()), (Shown(), Shown())
    places = street(), street()
    try:
        await places[0].connect(client, server, first)
        await places[1].connect(client, server, second)
        assert first[1].key == own
        assert (second[1].key == own) is resumes
    finally:
        for place in places:
            await place.end()


@pytest.mark.parametrize("error", [ConnectionDone(), ConnectionLost(), ValueError("x")])
def test_an_end_that_is_none_of_tls_has_no_fault_of_tls(error: Exception) -> None:
    assert tls_fault(error) == ""


def test_a_fault_that_is_not_known_is_told_in_openssls_words() -> None:
    assert tls_fault(SSL.Error([("SSL routines", "", "bad record mac")])) == "TLS failed: bad record mac"
    assert tls_fault(SSL.Error()) == tls_fault(SSL.SysCallError(-1, "Unexpected EOF")) == "TLS failed: without a reason"


async def test_a_private_key_is_not_logged_by_handshakes_that_succeed_or_fail(tmp_path: Path) -> None:
    identity = Identity.kept_in(str(tmp_path / "state"), b"node1")
    secret = secret_of(tmp_path / "state")
    tls = LinkTls(identity)
    said: list[str] = [repr(tls), repr(vars(tls))]
    with logged() as events:
        for other in (LinkTls(TWO), Stranger(), Stranger(alpn=(b"h2",)), Stranger(newest=SSL.TLS1_2_VERSION), None):
            for client, server in ((other, tls), (tls, other)):
                for end in await meet(OverTcp, client, server):
                    said += [repr(vars(end)), str(end.refused), end.lost.getTraceback() if end.lost else ""]
    assert [text for text in [*said, *map(all_of, events)] if shows(text, secret)] == []
