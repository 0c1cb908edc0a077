"""Commands and their answers."""

import pytest

from tests.real.node import Street, eventually, who


def test_joins_are_answered_one_for_each_topic_in_order(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"/join #b, #a,#c", b"/leave #c ,#b,  #a")
    alice.expect(b"ok join #b", b"ok join #a", b"ok join #c", b"ok leave #c", b"ok leave #b", b"ok leave #a")


def test_joining_twice_is_one_membership(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    bob.say(b"/join #t", b"/join #t, #t")
    bob.expect(*[b"ok join #t"] * 3)
    alice.say(b"#t: once")
    bob.expect(b"from alice to #t: once")
    alice.say(b"/topics", b"/who #t")
    alice.expect(b"topic #t 1", b"ok topics 1", b"peer bob", b"ok who 1")
    bob.say(b"/leave #t")
    bob.expect(b"ok leave #t")
    alice.say(b"#t: never")
    assert alice.barrier() == []
    assert bob.barrier() == []


def test_leaving_what_was_not_joined_is_ok(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"/leave #never", b"/join #t", b"/leave #t, #t", b"/topics")
    alice.expect(b"ok leave #never", b"ok join #t", b"ok leave #t", b"ok leave #t", b"ok topics 0")


GOOD_TOPICS = [
    b"#a",
    b"#a/b",
    b"#a/b/c/d",
    b"#" + b"t" * 255,
    "#\u00e9\u4f60".encode(),
    b"#" + "\u00e9".encode() * 127 + b"x",
    b"#.-_!$%&'()*+;<=>?[]^`{|}~",
    b"#0",
]


@pytest.mark.parametrize("topic", GOOD_TOPICS)
def test_a_topic_that_follows_the_rule_can_be_joined_and_heard(street: Street, topic: bytes) -> None:
    alice, bob = street.peers("alice", "bob")
    bob.say(b"/join " + topic)
    bob.expect(b"ok join " + topic)
    alice.say(topic + b": hello")
    bob.expect(b"from alice to " + topic + b": hello")
    bob.say(b"/leave " + topic)
    bob.expect(b"ok leave " + topic)


BAD_TOPICS = [
    b"#",
    b"t",
    b"#/",
    b"#/t",
    b"#t/",
    b"#t//t",
    b"##",
    b"#t#t",
    b"#t@node1",
    b"#t:t",
    b"#" + b"t" * 256,
    b"#" + "\u00e9".encode() * 128,
    b"#\xff",
    b"#t\x00",
    "#t\u200b".encode(),
    "#t\u3000t".encode(),
    "#\ue000".encode(),
    "#\u0378".encode(),
]


@pytest.mark.parametrize("topic", BAD_TOPICS)
@pytest.mark.parametrize("command", [b"/join", b"/leave"])
def test_what_is_no_topic_is_a_bad_topic(street: Street, command: bytes, topic: bytes) -> None:
    alice = street.peer("alice")
    alice.say(command + b" " + topic, b"/ping")
    (answer,) = alice.until(b"pong")
    prefix, _, told = answer.partition(b": ")
    assert prefix == b"error bad-topic"
    assert len(told) <= 60
    assert told == topic if len(topic) <= 60 else told and topic.startswith(told)
    alice.say(b"/topics")
    alice.expect(b"ok topics 0")


def test_each_item_is_answered_in_its_order_good_or_bad(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"/join #a, nope, #b, #c/, #a", b"/leave #a, nope, #b")
    alice.expect(b"ok join #a", b"error bad-topic: nope", b"ok join #b", b"error bad-topic: #c/", b"ok join #a")
    alice.expect(b"ok leave #a", b"error bad-topic: nope", b"ok leave #b")


def test_empty_items_are_ignored(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"/join ,#a,, #b ,", b"/leave , #b,,#a,")
    alice.expect(b"ok join #a", b"ok join #b", b"ok leave #b", b"ok leave #a")
    assert alice.barrier() == []


def test_who_lists_everybody_sorted_by_bytes_the_one_who_asks_included(street: Street) -> None:
    names = ["bob", "Zed", "alice", "\u00e9", "~", "10", "9", "a", "aa", "e\u0301"]
    peers = street.peers(*names)
    stranger = street.connect()  # not logged in: not here
    peers[0].say(b"/who")
    expected = sorted(name.encode() for name in names)
    peers[0].expect(*(b"peer " + name for name in expected), b"ok who 10")
    stranger.close()


def test_who_of_a_topic_lists_its_hearers(street: Street) -> None:
    peers = street.peers("bob", "Zed", "alice", "carol")
    for peer in peers[:3]:
        peer.say(b"/join #t")
        peer.expect(b"ok join #t")
    peers[0].say(b"/who #t")
    peers[0].expect(b"peer Zed", b"peer alice", b"peer bob", b"ok who 3")
    peers[3].say(b"/who #t", b"/who #nobody")
    peers[3].expect(b"peer Zed", b"peer alice", b"peer bob", b"ok who 3", b"ok who 0")


@pytest.mark.parametrize("topic", [b"nope", b"#", b"#a//b", b"alice"])
def test_who_of_what_is_no_topic_is_a_bad_topic(street: Street, topic: bytes) -> None:
    alice = street.peer("alice")
    alice.say(b"/who " + topic)
    assert alice.barrier() == [b"error bad-topic: " + topic]


def test_topics_lists_those_that_somebody_hears_sorted(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"/topics")
    alice.expect(b"ok topics 0")
    bob, carol = street.hearer("bob", b"#b", b"#a/b", b"#A"), street.hearer("carol", b"#b", b"#a")
    alice.say(b"/topics")
    alice.expect(b"topic #A 1", b"topic #a 1", b"topic #a/b 1", b"topic #b 2", b"ok topics 4")
    carol.say(b"/leave #a, #b")
    carol.expect(b"ok leave #a", b"ok leave #b")
    alice.say(b"/topics")
    alice.expect(b"topic #A 1", b"topic #a/b 1", b"topic #b 1", b"ok topics 3")
    bob.quit()
    alice.say(b"/topics")
    alice.expect(b"ok topics 0")


def test_a_watcher_is_told_who_comes_and_goes(street: Street) -> None:
    alice, carol = street.peers("alice", "carol")
    alice.say(b"/watch")
    alice.expect(b"ok watch")
    bob = street.peer("bob")
    alice.expect(b"notice here: bob")
    bob.quit()
    alice.expect(b"notice gone: bob")
    dave = street.peer("dave")
    dave.reset()
    alice.expect(b"notice here: dave", b"notice gone: dave")
    assert carol.barrier() == []


def test_who_no_longer_watches_is_no_longer_told(street: Street) -> None:
    alice, carol = street.peers("alice", "carol")
    alice.say(b"/watch", b"/unwatch")
    alice.expect(b"ok watch", b"ok unwatch")
    street.peer("bob").quit()
    eventually(lambda: b"bob" not in who(carol), "bob has gone")
    assert alice.barrier() == []
    alice.say(b"/unwatch")
    alice.expect(b"ok unwatch")


def test_one_who_is_refused_is_no_notice(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.say(b"/watch")
    alice.expect(b"ok watch")
    assert street.try_login("bob") is None
    stranger = street.connect()
    stranger.say(b"b@d")
    assert stranger.to_end()[-1] == b"bye bad-name"
    assert alice.barrier() == []
    assert bob.barrier() == []


@pytest.mark.parametrize(
    ("ping", "pong"),
    [
        (b"/ping", b"pong"),
        (b"/ping 1", b"pong 1"),
        (b"/ping a b  c", b"pong a b  c"),
        (b"/ping a, b: c #d", b"pong a, b: c #d"),
        (b"/ping \xff\x00\xfe", b"pong \xff\x00\xfe"),
        (b"/ping /ping", b"pong /ping"),
    ],
)
def test_a_ping_is_answered_with_the_rest_of_its_line(street: Street, ping: bytes, pong: bytes) -> None:
    alice = street.peer("alice")
    alice.say(ping, b"nobody: end")
    alice.expect(pong, b"error no-such-peer: nobody")


def test_a_ping_is_answered_in_order_with_everything_sent_before_it(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    lines: list[bytes] = []
    between: list[tuple[list[bytes], bytes]] = []
    for number in range(500):
        lines += [b"nobody%d: x" % number, b"bob: %d" % number, b"bad %d" % number, b"/ping %d" % number]
        between.append(([b"error bad-line: bad %d" % number, b"error no-such-peer: nobody%d" % number], b"%d" % number))
        lines += [b"/join #t%d" % number, b"alice: to myself %d" % number, b"/ping again %d" % number]
        between.append(([b"from alice: to myself %d" % number, b"ok join #t%d" % number], b"again %d" % number))
    alice.say(*lines)
    for answers, token in between:
        assert sorted(alice.until(b"pong " + token)) == answers
    bob.expect(*(b"from alice: %d" % number for number in range(500)))


def test_a_pong_says_that_everything_before_it_has_been_routed(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    for number in range(50):
        alice.say(b"bob: %d" % number)
        assert alice.barrier() == []
        assert bob.barrier() == [b"from alice: %d" % number]


def test_help_tells_the_commands(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"/help")
    lines = alice.until(b"ok help")
    assert lines
    assert all(line.startswith(b"help ") for line in lines)
    text = b"\n".join(lines)
    for command in (b"/join", b"/leave", b"/who", b"/topics", b"/watch", b"/unwatch", b"/ping", b"/help", b"/quit"):
        assert command in text


def test_quit_is_answered_last_and_ends_the_connection(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    bob.say(b"alice: one", b"/ping", b"/quit", b"alice: two", b"/ping too late")
    assert bob.to_end() == [b"pong", b"bye quit"]
    alice.expect(b"from bob: one")
    assert alice.barrier() == []
