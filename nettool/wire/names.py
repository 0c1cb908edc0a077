"""
What may be a name, a topic, a node.

In: bytes that claim to be one.  Out: whether they are, or what is wrong with them.
Never: case folding or normalisation; names are compared byte by byte.
"""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 64
MAX_TOPIC = 255
DELIMITERS = frozenset(",:@#/")

# Control, format, surrogate, private use, unassigned; the three kinds of separator are all of Unicode's white space
# that is not a control character.
_BARRED = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"))

_FAR_NAME = re.compile(rb"[^\x00-\x20\x7f,:@#/]{1,64}")
_FAR_TOPIC = re.compile(rb"#[^\x00-\x20\x7f,:@#]+")


def name_fault(name: bytes) -> str:
    """What is wrong with a peer's or a node's name, for a human; empty if nothing is."""
    if not 1 <= len(name) <= MAX_NAME:
        return f"a name has 1 to {MAX_NAME} bytes"
    return _fault(name, DELIMITERS, "a name")


def topic_fault(topic: bytes) -> str:
    """What is wrong with a topic, its `#` included, for a human; empty if nothing is."""
    if topic[:1] != b"#":
        return "a topic begins with #"
    word = topic[1:]
    if not 1 <= len(word) <= MAX_TOPIC:
        return f"a topic has 1 to {MAX_TOPIC} bytes after its #"
    if word[:1] == b"/" or word[-1:] == b"/" or b"//" in word:
        return "a topic neither begins nor ends with /, nor doubles it"
    return _fault(word, DELIMITERS - {"/"}, "a topic")


def is_name(name: bytes) -> bool:
    """Whether a peer or a node can be called so."""
    return not name_fault(name)


def is_topic(topic: bytes) -> bool:
    """Whether there can be such a topic; its `#` included."""
    return not topic_fault(topic)


def is_far_name(name: bytes) -> bool:
    """Whether a peer of another node may be called so.

    Tables of characters differ between Pythons, so it need only have the right length, and no control character, white
    space or delimiter.
    """
    return _FAR_NAME.fullmatch(name) is not None and _is_plain(name)


def is_far_topic(topic: bytes) -> bool:
    """Whether another node may have such a topic; as little is asked of it as of a name."""
    word = topic[1:]
    return (
        _FAR_TOPIC.fullmatch(topic) is not None
        and len(word) <= MAX_TOPIC
        and b"/" not in (word[:1], word[-1:])
        and b"//" not in word
        and _is_plain(word)
    )


def _is_plain(word: bytes) -> bool:
    """Whether it is UTF-8 without control characters and white space, which are the same in all tables."""
    if word.isascii():
        return True  # the pattern has looked
    try:
        text = word.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(character.isspace() or unicodedata.category(character) == "Cc" for character in text)


def _fault(word: bytes, delimiters: frozenset[str], what: str) -> str:
    try:
        text = word.decode("utf-8")
    except UnicodeDecodeError:
        return f"{what} is valid UTF-8"
    for character in text:
        if character in delimiters:
            return f"{what} has none of {' '.join(sorted(delimiters))}"
        if unicodedata.category(character) in _BARRED:
            return f"{what} has no white space, control, format, private or unassigned character"
    return ""
