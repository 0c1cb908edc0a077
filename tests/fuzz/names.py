"""Names and topics against the protocol's rule, by Python's own tables of characters.

In: words.  Out: an exception where they differ.  Never: a table of ours.
"""

from __future__ import annotations

import unicodedata

from nettool.wire.names import is_name, is_topic, name_fault, topic_fault

TOKENS = ["#", "/", "//", ",", ":", "@", " ", "\x00", "\x7f", "\x85", "\xa0", "\xad", "ë", "\u0308", "\u2028", "\u200d"]
TOKENS += ["\ue000", "\uffff", "\u3000", "\U0010ffff", "🐟", "a" * 32]
BYTES = [*(token.encode() for token in TOKENS), b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x80", b"\xff"]


def plain(word: bytes, most: int, delimiters: str) -> bool:
    """Whether a word has the right length and only characters that may be in one."""
    try:
        text = word.decode()
    except UnicodeDecodeError:
        return False
    if len(word) < 1 or len(word) > most:
        return False
    categories = {unicodedata.category(character) for character in text}
    if any(category[0] in "CZ" for category in categories):  # other: control to unassigned; separators
        return False
    return not any(character in delimiters or character.isspace() for character in text)


def check(data: bytes) -> None:
    """Each of some words, as a name and as a topic; and what can be made of it, since few bytes at random are UTF-8."""
    for word in data.split(b"\n")[:4]:
        check_word(word)
        for encoding in ("utf-8", "latin-1", "utf-16-le"):
            valid = word.decode(encoding, "ignore").encode("utf-8", "ignore")
            check_word(valid)
            check_word(b"#" + valid)
        for most in (64, 65):
            check_word(word.rjust(most, b"x"))
        for most in (255, 256):
            check_word(b"#" + word.rjust(most, b"x"))


def check_word(word: bytes) -> None:
    """Whether it may be a name, and whether it may be a topic."""
    name = plain(word, 64, ",:@#/")
    assert is_name(word) is name, f"{word!r}: {name_fault(word) or 'a name'}"
    parts = word[1:].split(b"/")
    # An empty part has not the right length.
    topic = word[:1] == b"#" and len(word) <= 256 and all(plain(part, 255, ",:@#") for part in parts)
    assert is_topic(word) is topic, f"{word!r}: {topic_fault(word) or 'a topic'}"
    for fault, good in ((name_fault(word), name), (topic_fault(word), topic)):
        assert (fault == "") is good
        assert fault.isascii() and fault.isprintable(), "a fault is a sentence, and none of the peer's own words"
