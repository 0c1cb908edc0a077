"""What may be a name and what may be a topic, rule by rule."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nettool.wire.names import is_far_name, is_far_topic, is_name, is_topic, name_fault, topic_fault

GOOD_WORDS = [
    "a",
    "alice",
    "Alice",
    "bob-2",
    "x_y.z~!$%&'()*+;<=>?[]^`{|}\"\\",
    "0",
    "zoë",
    "zoe\u0308",  # the same to the eye, another name: nothing is normalised
    "Σίσυφος",
    "дворник",
    "李雷",
    "🐟",
    "👩🏽",
]

# What is wrong with a word in a name as in a topic, with the Unicode category where that is why.
BAD_CHARACTERS = [
    *[(character, "a delimiter") for character in ",:@#"],
    *[(character, "Cc") for character in "\x00\x01\t\n\x0b\x0c\r\x1b\x1f\x7f\x80\x85\x9f"],
    *[(character, "Cf") for character in "\u00ad\u200b\u200d\u200e\u202e\u2060\u2066\ufeff\U000e0001"],
    *[(character, "Zs") for character in " \u00a0\u1680\u2000\u200a\u202f\u205f\u3000"],
    ("\u2028", "Zl"),
    ("\u2029", "Zp"),
    *[(character, "Co") for character in "\ue000\uf8ff\U000f0000\U0010fffd"],
    *[(character, "Cn") for character in "\u0378\ufdd0\uffff\U0010ffff"],
]

NOT_UTF8 = [b"\xff", b"\x80", b"a\xc3", b"\xc3\x28", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"caf\xe9"]


@pytest.mark.parametrize("word", GOOD_WORDS)
def test_a_word_of_visible_characters_is_a_name_and_a_topic(word: str) -> None:
    assert name_fault(word.encode()) == ""
    assert is_name(word.encode())
    assert topic_fault(b"#" + word.encode()) == ""
    assert is_topic(b"#" + word.encode())


@pytest.mark.parametrize(("character", "why"), BAD_CHARACTERS, ids=lambda value: ascii(value))
@pytest.mark.parametrize("form", ["{}", "a{}", "{}a", "a{}b"])
def test_no_name_and_no_topic_has_a_barred_character(character: str, why: str, form: str) -> None:
    if why != "a delimiter":
        assert unicodedata.category(character) == why
    word = form.format(character).encode()
    assert name_fault(word)
    assert not is_name(word)
    assert topic_fault(b"#" + word)
    assert not is_topic(b"#" + word)


@pytest.mark.parametrize("word", NOT_UTF8)
def test_names_and_topics_are_valid_utf_8(word: bytes) -> None:
    assert "UTF-8" in name_fault(word)
    assert "UTF-8" in topic_fault(b"#" + word)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        (b"", False),
        (b"a" * 64, True),
        (b"a" * 65, False),
        ("ë".encode() * 32, True),  # it is bytes that count
        ("ë".encode() * 32 + b"a", False),
        ("🐟".encode() * 16, True),
        ("🐟".encode() * 17, False),
    ],
)
def test_a_name_has_1_to_64_bytes(name: bytes, good: bool) -> None:
    assert is_name(name) is good
    assert good or "64" in name_fault(name)


@pytest.mark.parametrize(
    ("topic", "good"),
    [
        (b"", False),
        (b"#", False),
        (b"news", False),
        (b"##", False),
        (b"##news", False),
        (b" #news", False),
        (b"#" + b"t" * 255, True),
        (b"#" + b"t" * 256, False),
        (b"#" + "ë".encode() * 127 + b"t", True),
        (b"#" + "ë".encode() * 128, False),
        (b"#a/b", True),
        (b"#a/b/c", True),
        (b"#/", False),
        (b"#/a", False),
        (b"#a/", False),
        (b"#a//b", False),
        (b"#a/b//c/d", False),
        (b"#a#b", False),
        (b"#a@node1", False),
    ],
)
def test_a_topic_is_a_hash_and_1_to_255_bytes_whose_slashes_only_separate(topic: bytes, good: bool) -> None:
    assert is_topic(topic) is good
    assert bool(topic_fault(topic)) is not good


@pytest.mark.parametrize("name", [b"/", b"a/b", b"/a", b"a/"])
def test_a_name_has_no_slash(name: bytes) -> None:
    assert not is_name(name)


def obeys(word: bytes, delimiters: str) -> bool:
    """The rule for characters, said in another way than in the code under test."""
    try:
        text = word.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(
        character not in delimiters
        and not character.isspace()
        and (character.isprintable() or unicodedata.category(character)[0] not in "CZ")
        for character in text
    )


words = st.one_of(st.binary(max_size=70), st.text(max_size=70).map(lambda text: text.encode("utf-8", "surrogatepass")))


@given(words)
def test_what_is_a_name_is_what_the_rule_says(word: bytes) -> None:
    assert is_name(word) is (1 <= len(word) <= 64 and obeys(word, ",:@#/"))
    assert is_name(word) is (name_fault(word) == "")


@given(st.lists(words, min_size=1, max_size=4).map(b"/".join), st.sampled_from([b"#", b"", b"x"]))
def test_what_is_a_topic_is_what_the_rule_says(word: bytes, hash_sign: bytes) -> None:
    topic = hash_sign + word
    assume(hash_sign or word[:1] != b"#")
    good = hash_sign == b"#" and len(word) <= 255 and all(part and obeys(part, ",:@#/") for part in word.split(b"/"))
    assert is_topic(topic) is good
    assert is_topic(topic) is (topic_fault(topic) == "")


@pytest.mark.parametrize("fault", [name_fault(b""), name_fault(b"a b"), name_fault(b"a:b"), topic_fault(b"news")])
def test_a_fault_is_one_line_for_a_human(fault: str) -> None:
    assert fault.startswith(("a name ", "a topic "))
    assert fault.isprintable()


@given(st.binary(max_size=70) | st.text(max_size=70).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_what_may_be_called_so_here_may_be_elsewhere(word: bytes) -> None:
    assert not is_name(word) or is_far_name(word)
    assert not is_topic(b"#" + word) or is_far_topic(b"#" + word)


@pytest.mark.parametrize(
    "word", [b"", b"a b", b"a\nb", b"a\x7fb", b"a,b", b"a:b", b"a@b", b"a#b", b"a\xc2\xa0b", b"\xff"]
)
def test_nobody_elsewhere_is_called_so(word: bytes) -> None:
    assert not is_far_name(word) and not is_far_topic(b"#" + word)


@pytest.mark.parametrize("topic", [b"a", b"#/a", b"#a/", b"#a//b", b"#" + b"a" * 256, b"#"])
def test_no_topic_elsewhere_is_called_so(topic: bytes) -> None:
    assert not is_far_topic(topic)
