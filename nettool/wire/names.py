"""
What may be a name, a topic, a node.

In: bytes that claim to be one.  Out: whether they are, or what is wrong with them.
Never: case folding or normalisation; names are compared byte by byte.
"""

from __future__ import annotations

import unicodedata

MAX_NAME = 64
MAX_TOPIC = 255
DELIMITERS = frozenset(",:@#/")

# Control, format, surrogate, private use, unassigned; the three kinds of separator are all of Unicode's white space
# that is not a control character.
_BARRED = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"))


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
