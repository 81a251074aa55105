"""Random changes to valid input, for machines without atheris and for the quick tests of the suite."""

import random

INTERESTING = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63,
    2**64 - 1,
)
TEXTS = (b"0", b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b"..", b"../../x", b"/", b"\0", b"\n", b"\xff\xfe")


def mutated(content: bytes, others: list[bytes], drawn: random.Random) -> bytes:
    """Return content with one to six changes; ``others`` are what parts are taken from."""
    changed = bytearray(content)
    for _ in range(drawn.randint(1, 6)):
        CHANGES[drawn.randrange(len(CHANGES))](changed, others, drawn)
    return bytes(changed)


def _place(content: bytearray, drawn: random.Random) -> int:
    """Headers are worth more changes than pixels."""
    limit = min(len(content), 200) if drawn.random() < 0.5 else len(content)
    return drawn.randrange(limit) if limit else 0


def _flip(content: bytearray, _: list[bytes], drawn: random.Random) -> None:
    if content:
        content[_place(content, drawn)] ^= 1 << drawn.randrange(8)


def _number(content: bytearray, _: list[bytes], drawn: random.Random) -> None:
    size, place = drawn.choice((1, 2, 4, 8)), _place(content, drawn)
    value = drawn.choice(INTERESTING) % (1 << 8 * size)
    content[place : place + size] = value.to_bytes(size, drawn.choice(("big", "little")))


def _text(content: bytearray, _: list[bytes], drawn: random.Random) -> None:
    place = _place(content, drawn)
    content[place : place + drawn.randrange(4)] = drawn.choice(TEXTS)


def _cut(content: bytearray, _: list[bytes], drawn: random.Random) -> None:
    place = _place(content, drawn)
    del content[place : place + drawn.choice((1, 2, 4, 16, len(content)))]


def _repeat(content: bytearray, _: list[bytes], drawn: random.Random) -> None:
    place = _place(content, drawn)
    content[place:place] = content[place : place + drawn.choice((1, 4, 12, 64))] * drawn.choice((1, 2, 50))


def _splice(content: bytearray, others: list[bytes], drawn: random.Random) -> None:
    other = drawn.choice(others)
    start = drawn.randrange(len(other) + 1)
    content[_place(content, drawn) :] = other[start : start + 100_000]


CHANGES = (_flip, _flip, _number, _number, _text, _cut, _repeat, _splice)
