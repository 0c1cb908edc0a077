"""Who is accepted as a node, and what is said to those who are not."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.cluster.identity import NodeKey, Refused, TrustedNodes, decide, parse_trusted
from nettool.cluster.identity.keys import written
from nettool.errors import RefusalReason

OWN = NodeKey(b"node1", b"1" * 32)
TWO = NodeKey(b"node2", b"2" * 32)
THREE = NodeKey(b"node3", b"3" * 32)
TRUSTED = parse_trusted(f"{TWO}\n{THREE}\n".encode(), "/etc/trusted")
NEW = b"n" * 32
KEYS = [OWN.key, TWO.key, THREE.key, NEW]
NAMES = [b"node1", b"node2", b"node3", b"node4"]


def refused(name: bytes, key: bytes, trusted: TrustedNodes = TRUSTED, meant: bytes = b"") -> Refused:
    with pytest.raises(Refused) as caught:
        decide(trusted, OWN, name, key, meant)
    return caught.value


def test_a_node_is_accepted_if_its_key_is_in_the_file_under_the_name_it_gives() -> None:
    assert decide(TRUSTED, OWN, TWO.name, TWO.key) == TWO
    assert decide(TRUSTED, OWN, THREE.name, THREE.key, meant=b"node3") == THREE


def test_a_file_that_is_the_same_everywhere_may_have_the_node_itself() -> None:
    everywhere = TrustedNodes.of([OWN, TWO])
    assert decide(everywhere, OWN, TWO.name, TWO.key) == TWO
    assert refused(OWN.name, OWN.key, everywhere).reason is RefusalReason.SAME_KEY


@pytest.mark.parametrize("trusted", [TRUSTED, TrustedNodes(), TrustedNodes.of([TWO]), TrustedNodes.of([OWN, THREE])])
def test_of_all_names_and_keys_only_those_of_one_line_are_accepted(trusted: TrustedNodes) -> None:
    accepted = set()
    for name, key in product(NAMES, KEYS):
        try:
            accepted.add(decide(trusted, OWN, name, key))
        except Refused:
            pass
    assert accepted == {NodeKey(name, key) for name, key in trusted.keys.items()} - {OWN}


@given(st.binary(max_size=70), st.binary(max_size=40), st.sampled_from([b"", *NAMES]))
def test_whatever_a_node_says_it_is_refused_in_one_line_each(name: bytes, key: bytes, meant: bytes) -> None:
    error = refused(name, key, meant=meant)
    for text in (error.here, error.there):
        assert text.isprintable() and 10 < len(text) < 600


REFUSALS = [
    # name, key, meant, reason, here, there
    (
        b"node4",
        NEW,
        b"",
        RefusalReason.NOT_TRUSTED,
        f"node4 is not trusted; if it should be, add to /etc/trusted the line, and reload: node4 {written(NEW)}",
        f"node1 does not trust this node; if it should, its trusted-nodes needs the line: node4 {written(NEW)}",
    ),
    (
        b"node2",
        NEW,
        b"node2",
        RefusalReason.OTHER_KEY,
        "node2 shows another key than it has in /etc/trusted:1: it is another node, or its key is new; if its key is "
        f"new, that line has to become: node2 {written(NEW)}",
        "node1 trusts node2 with another key; if this node's key is new, its line in the trusted-nodes of node1 has to "
        f"become: node2 {written(NEW)}",
    ),
    (
        b"node4",
        THREE.key,
        b"",
        RefusalReason.OTHER_NAME,
        "node4 shows the key of node3 in /etc/trusted:2: start it with --node-name node3, or, if it has a new name, "
        f"the line has to become: node4 {written(THREE.key)}",
        "node1 knows this node's key under the name node3: start it with --node-name node3, or, if it has a new name, "
        f"the line has to become: node4 {written(THREE.key)}",
    ),
    (
        b"node2",
        THREE.key,
        b"",
        RefusalReason.OTHER_NAME,
        "node2 shows the key of node3 in /etc/trusted:2: start it with --node-name node3",
        "node1 knows this node's key under the name node3: start it with --node-name node3",
    ),
    (
        b"node1",
        NEW,
        b"",
        RefusalReason.SAME_NAME,
        "two nodes are called node1: start one of them with another --node-name; the other one has the key "
        + written(NEW),
        "two nodes are called node1: start one of them with another --node-name",
    ),
    (
        b"node1",
        OWN.key,
        b"node2",
        RefusalReason.SAME_KEY,
        "node1 has reached itself: one of the addresses it was given for other nodes is its own",
        "node1 has reached itself: one of the addresses it was given for other nodes is its own",
    ),
    (
        b"node2",
        OWN.key,
        b"",
        RefusalReason.SAME_KEY,
        "node2 and node1 have the same key: the state directory of one is a copy of the other's. Give one of them a "
        "directory of its own, in which a new key is made",
        "node2 and node1 have the same key: the state directory of one is a copy of the other's. Give one of them a "
        "directory of its own, in which a new key is made",
    ),
    (
        b"node3",
        THREE.key,
        b"node2",
        RefusalReason.NOT_MEANT,
        "node3 answered where node2 was dialled: correct the address of node2",
        "node1 dialled node2, and reached node3: node1 has a wrong address for node2",
    ),
    (
        b"no de",
        NEW,
        b"node2",
        RefusalReason.BAD_NAME,
        f"a node with the key {written(NEW)} gave a name that cannot be one: a name has no white space, control, "
        "format, private or unassigned character",
        "this node's name cannot be one: a name has no white space, control, format, private or unassigned character; "
        "start it with another --node-name",
    ),
]


@pytest.mark.parametrize("name, key, meant, reason, here, there", REFUSALS)
def test_a_refusal_says_on_both_sides_what_to_do(
    name: bytes, key: bytes, meant: bytes, reason: RefusalReason, here: str, there: str
) -> None:
    error = refused(name, key, meant=meant)
    assert (error.reason, error.here, error.there) == (reason, here, there)
    assert str(error) == here


def test_every_reason_to_refuse_a_claim_is_tried() -> None:
    of_tls = {RefusalReason.NO_CERTIFICATE, RefusalReason.WRONG_KEY_KIND, RefusalReason.NOT_A_LINK}
    assert {reason for _, _, _, reason, _, _ in REFUSALS} == set(RefusalReason) - of_tls


def test_without_a_file_it_is_said_how_to_name_one() -> None:
    error = refused(b"node2", TWO.key, TrustedNodes())
    assert error.here == (
        "node2 is not trusted; if it should be, start this node with --trusted-nodes FILE, and put into that file the "
        f"line: {TWO}"
    )


def test_the_line_to_paste_makes_the_node_trusted() -> None:
    stranger = NodeKey(b"node4", NEW)
    for trusted in (TRUSTED, TrustedNodes()):
        error = refused(stranger.name, stranger.key, trusted)
        for text in (error.here, error.there):
            line = re.search(r"line.*: (\S+ ed25519:\S+)$", text)
            assert line is not None
            lines = [str(NodeKey(*node)) for node in trusted.keys.items()] + [line[1]]
            mended = parse_trusted("\n".join(lines).encode())
            assert decide(mended, OWN, stranger.name, stranger.key) == stranger


def test_the_answer_tells_no_key_but_the_others_own() -> None:
    for name, key in product(NAMES, KEYS):
        try:
            decide(TRUSTED, OWN, name, key)
        except Refused as error:
            told = set(re.findall(r"ed25519:\S+", error.there))
            assert told <= {written(key)}
