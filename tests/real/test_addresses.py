"""Addresses: who gets a text, how often, in which order, and what is answered when nobody can."""

import pytest

from tests.real.conftest import Start
from tests.real.node import Street


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"bob: hello", b"hello"),
        (b"bob:hello", b"hello"),
        (b"bob:  hello", b" hello"),
        (b"bob:   ", b"  "),
        (b"bob: ", b""),
        (b"bob:", b""),
        (b"bob::", b":"),
        (b"bob: a: b", b"a: b"),
        (b"bob:a:b", b"a:b"),
        (b"bob:\thello", b"\thello"),
        (b"bob: hello  ", b"hello  "),
        (b"bob: alice, bob: hi", b"alice, bob: hi"),
        (b"bob@node1: hello", b"hello"),
        (b" bob: hello", b"hello"),
        (b"bob : hello", b"hello"),
        (b"\t bob \t: hello", b"hello"),
        (b"bob,: hello", b"hello"),
        (b",bob: hello", b"hello"),
        (b" , ,bob, , : hello", b"hello"),
    ],
)
def test_a_line_is_split_at_its_first_colon(street: Street, sent: bytes, text: bytes) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.say(sent)
    bob.expect(b"from alice: " + text)
    assert alice.barrier() == []
    assert bob.barrier() == []


@pytest.mark.parametrize(
    "addresses",
    [b"bob, carol", b"bob,carol", b"carol,bob", b" bob ,\tcarol ", b"bob,,carol", b"bob@node1, carol", b",bob,carol,"],
)
def test_a_line_goes_to_all_its_addresses(street: Street, addresses: bytes) -> None:
    alice, bob, carol = street.peers("alice", "bob", "carol")
    alice.say(addresses + b": hi!")
    bob.expect(b"from alice: hi!")
    carol.expect(b"from alice: hi!")
    for peer in (alice, bob, carol):
        assert peer.barrier() == []


@pytest.mark.parametrize(
    "addresses",
    [b"bob, bob", b"bob,bob,bob,bob", b"bob, bob@node1", b"bob@node1, bob", b"bob, carol, bob@node1, carol, bob"],
)
def test_a_receiver_that_is_named_twice_gets_the_text_once(street: Street, addresses: bytes) -> None:
    alice, bob, carol = street.peers("alice", "bob", "carol")
    alice.say(addresses + b": once", b"bob, carol: end")
    bob.expect(b"from alice: once", b"from alice: end")
    carol.expect(*([b"from alice: once"] if b"carol" in addresses else []), b"from alice: end")
    assert alice.barrier() == []


def test_a_peer_may_send_to_itself_by_name(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    bob.say(b"alice, bob: hi!", b"bob@node1: me again")
    alice.expect(b"from bob: hi!")
    bob.expect(b"from bob: hi!", b"from bob: me again")


def test_a_sender_does_not_hear_itself_on_a_topic(street: Street) -> None:
    alice, bob = street.hearer("alice", b"#t"), street.hearer("bob", b"#t")
    alice.say(b"#t: hello")
    bob.expect(b"from alice to #t: hello")
    assert alice.barrier() == []


def test_a_topic_reaches_all_its_hearers_and_nobody_else(street: Street) -> None:
    hearers = [street.hearer(f"hearer{number}", b"#news", b"#other") for number in range(5)]
    alice, bob = street.peers("alice", "bob")
    alice.say(b"#news: one", b" #news :two", b"#News: three", b"#new: four", b"#news/x: five")
    assert alice.barrier() == []
    for hearer in hearers:
        assert hearer.barrier() == [b"from alice to #news: one", b"from alice to #news: two"]
    assert bob.barrier() == []


def test_a_topic_that_nobody_hears_is_no_error(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"#silence: hello", b"#silence, #void: hello")
    assert alice.barrier() == []


def test_a_topic_that_was_left_is_silent(street: Street) -> None:
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t")
    alice.say(b"#t: one")
    assert alice.barrier() == []
    bob.say(b"/leave #t")
    bob.expect(b"from alice to #t: one", b"ok leave #t")
    alice.say(b"#t: two")
    assert alice.barrier() == []
    assert bob.barrier() == []


@pytest.mark.parametrize(
    ("addresses", "prefixes"),
    [
        (b"bob, #a", [b"from alice: ", b"from alice to #a: "]),
        (b"#a, bob", [b"from alice to #a: ", b"from alice: "]),
        (b"#a, #b", [b"from alice to #a: ", b"from alice to #b: "]),
        (b"#b, #a", [b"from alice to #b: ", b"from alice to #a: "]),
        (b"#b, bob, #a", [b"from alice to #b: ", b"from alice: ", b"from alice to #a: "]),
        (b"bob, #b, bob@node1", [b"from alice: ", b"from alice to #b: "]),
        (b"nobody, #b, nobody2, bob", [b"from alice to #b: ", b"from alice: "]),
    ],
)
def test_the_texts_of_a_line_go_out_in_the_order_of_its_addresses(
    street: Street, addresses: bytes, prefixes: list[bytes]
) -> None:
    alice, bob = street.peer("alice"), street.hearer("bob", b"#a", b"#b")
    alice.say(addresses + b": one", addresses + b": two")
    bob.expect(*(prefix + b"one" for prefix in prefixes), *(prefix + b"two" for prefix in prefixes))
    alice.barrier()
    assert bob.barrier() == []


@pytest.mark.parametrize(
    "address",
    [
        b"nobody",
        b"nobody@node1",
        b"bob@node2",
        b"Bob",
        b"BOB@node1",
        b"bob@Node1",
        "b\u00f3b".encode(),
    ],
)
def test_an_address_that_does_not_exist_is_no_such_peer(street: Street, address: bytes) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.say(address + b": hello")
    assert alice.barrier() == [b"error no-such-peer: " + address]
    assert bob.barrier() == []


@pytest.mark.parametrize(
    "address",
    [
        b"bob@",
        b"@node1",
        b"bob@node1@node1",
        b"bob bob",
        b"bo\tb",
        b"bob/x",
        b"bob#x",
        b"b\x00b",
        b"\xff\xfe",
        "bo\u200bb".encode(),
        b"n" * 65,
        b"n" * 300,
        b"bob@" + b"n" * 65,
    ],
)
def test_an_address_that_cannot_exist_is_answered_like_one_that_does_not(street: Street, address: bytes) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.say(address + b": hello", b"bob, " + address + b": both", b"/ping")
    assert alice.until(b"pong") == [b"error no-such-peer: " + address] * 2
    assert bob.barrier() == [b"from alice: both"]


def test_white_space_around_an_address_is_no_part_of_it_in_an_error_either(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b" nobody ,\tnobody2 : hello")
    assert sorted(alice.barrier()) == [b"error no-such-peer: nobody", b"error no-such-peer: nobody2"]


def test_a_missing_receiver_takes_nothing_from_the_others(street: Street) -> None:
    alice, bob, carol = street.peers("alice", "bob", "carol")
    alice.say(b"bob, nobody, carol: hi")
    bob.expect(b"from alice: hi")
    carol.expect(b"from alice: hi")
    assert alice.barrier() == [b"error no-such-peer: nobody"]


def test_names_are_compared_byte_by_byte(street: Street) -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    peers = {name: street.peer(name) for name in ("bob", "Bob", "BOB", composed, decomposed)}
    alice = street.peer("alice")
    for name in peers:
        alice.say(name.encode() + b": to " + name.encode())
    assert alice.barrier() == []
    for name, peer in peers.items():
        assert peer.barrier() == [b"from alice: to " + name.encode()]


def test_the_sender_is_named_as_it_logged_in(street: Street) -> None:
    bob = street.hearer("bob", b"#t")
    name = "J\u00fcrgen\u2013\U0001f600"
    jurgen = street.peer(name)
    jurgen.say(b"bob: hi", b"#t: ho")
    bob.expect(f"from {name}: hi".encode(), f"from {name} to #t: ho".encode())


def test_a_line_has_as_many_addresses_as_the_limit_and_no_more(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    missing = [b"n%d" % number for number in range(100)]
    alice.say(b", ".join([*missing[:99], b"bob"]) + b": in")
    assert sorted(alice.barrier()) == sorted(b"error no-such-peer: " + name for name in missing[:99])
    bob.expect(b"from alice: in")
    alice.say(b", ".join([b"bob", *missing]) + b": out")
    assert alice.barrier() == [b"error too-many-addresses: 100"]
    assert bob.barrier() == []


def test_the_limit_of_addresses_is_the_one_that_was_configured(start: Start) -> None:
    street = start("--max-addresses", "2")
    alice, bob, carol = street.peers("alice", "bob", "carol")
    alice.say(b"bob, carol, alice: three", b"bob, carol: two")
    assert alice.barrier() == [b"error too-many-addresses: 2"]
    for peer in (bob, carol):
        assert peer.barrier() == [b"from alice: two"]


def test_the_order_of_a_login_and_a_line_to_it_is_the_order_in_which_they_were_handled(street: Street) -> None:
    bob = street.peer("bob")
    bob.say(b"alice: too early")
    assert bob.barrier() == [b"error no-such-peer: alice"]
    alice = street.peer("alice")
    bob.say(b"alice: in time")
    alice.expect(b"from bob: in time")
    assert alice.barrier() == []
