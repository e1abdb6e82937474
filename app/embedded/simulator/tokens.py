"""The simulator's tokens: a word or a punctuation mark is one, with the space in front of it.

No real tokenizer counts like this, but everybody can check it by hand.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])")


def split(text: str) -> list[str]:
    """Return the tokens of `text`; joined they are `text` without the space at its end."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """Return how many tokens `text` has."""
    return len(split(text))
