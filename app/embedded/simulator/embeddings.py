"""Vectors for texts: the same text has the same vector, and texts that share words are near each other."""

from __future__ import annotations

import base64
import hashlib
import math
import struct

from app.embedded.simulator import tokens

# Of a long text only the beginning counts, so that nobody keeps the simulator busy for long.
_WORDS = 256


def embed(text: str, dimensions: int) -> list[float]:
    """Return a vector of length one; its direction is the sum of one direction for each word."""
    total = [0.0] * dimensions
    for word in tokens.split(text.lower())[:_WORDS] or [""]:
        for axis, value in enumerate(_direction(word.strip(), dimensions)):
            total[axis] += value
    length = math.hypot(*total) or 1.0
    return [value / length for value in total]


def to_base64(vector: list[float]) -> str:
    """Return the vector as OpenAI's clients ask for it: 32-bit floats, little-endian, in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _direction(word: str, dimensions: int) -> list[float]:
    noise = hashlib.shake_128(word.encode()).digest(2 * dimensions)
    return [number / 32768 - 1 for number in struct.unpack(f"<{dimensions}H", noise)]
