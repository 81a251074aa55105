"""Deflate with codes alone: zlib reads it, the size is that of zlib's own codes, damage is noticed."""

import zlib

import cv2
import numpy as np
import pytest

from seamark.errors import SubmissionError
from seamark.submission import deflate
from seamark.submission.deflate import deflated
from seamark.submission.huffman_kernels import LONGEST_CODE, SYMBOLS, code_lengths


def scores(words=100_000):
    ramp = np.linspace(-2, 9, words) + np.random.default_rng(0).normal(0, 0.01, words)
    return ramp.astype(np.float16).tobytes()


CONTENTS = {
    "nothing": b"",
    "one byte": b"x",
    "one byte again and again": b"x" * 200_001,
    "two bytes": b"xy" * 3,
    "zeros": bytes(70_000),
    "scores": scores(),
    "odd": scores()[:99_999],
    "one block": scores()[: deflate.BLOCK_BYTES],
    "one block and a byte": scores()[: deflate.BLOCK_BYTES + 1],
    "noise": np.random.default_rng(1).bytes(150_000),
    "every byte": bytes(range(256)),
    "steep": b"".join(bytes([number]) * 2**number for number in range(16)),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("write", [deflate._coded, deflate._searched, deflated])
def test_zlib_reads_a_part_that_is_the_last_and_one_that_is_not(content, write):
    assert zlib.decompress(write(content, True), -zlib.MAX_WBITS) == content
    parts = write(content, False) + write(b"more", False) + write(content, True)
    assert zlib.decompress(parts, -zlib.MAX_WBITS) == content + b"more" + content


def test_codes_save_what_zlib_saves_with_codes_alone():
    clouds = cv2.GaussianBlur(np.random.default_rng(2).normal(size=(200, 1000)).astype(np.float32), (0, 0), 8)
    content = clouds.astype(np.float16).tobytes()
    compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_HUFFMAN_ONLY)
    size = len(compressor.compress(content) + compressor.flush())
    assert size < 0.95 * len(content)
    assert len(deflated(content, True)) < 1.01 * size


def test_noise_is_stored():
    content = CONTENTS["noise"]
    assert len(deflated(content, True)) <= len(content) + 4 * 5


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_repetitions_are_searched_for(value):
    assert len(deflated(np.full(500_000, value, np.float16).tobytes(), True)) < 10_000


def test_code_lengths_are_complete_and_short_enough():
    random = np.random.default_rng(0)
    for _ in range(100):
        counts = np.zeros(SYMBOLS, np.int64)
        used = random.permutation(SYMBOLS)[: random.integers(2, SYMBOLS + 1)]
        counts[used] = random.pareto(random.uniform(0.2, 2), used.size).clip(0, 1e6) + 1
        lengths = code_lengths(counts).astype(int)
        np.testing.assert_array_equal(lengths > 0, counts > 0)
        assert lengths.max() <= LONGEST_CODE
        assert sum(2.0 ** -lengths[lengths > 0]) == 1


def test_a_flipped_bit_is_noticed(monkeypatch):
    coded = deflate._coded

    def flipped(content, last):
        compressed = bytearray(coded(content, last))
        compressed[len(compressed) // 2] ^= 16
        return bytes(compressed)

    monkeypatch.setattr(deflate, "_coded", flipped)
    with pytest.raises(SubmissionError, match="does not inflate"):
        deflated(scores(), True)


@pytest.mark.parametrize("spoil", [lambda part: part[:-1], lambda part: part + b"\0", lambda part: b"\xff" + part])
def test_missing_and_surplus_bytes_are_noticed(monkeypatch, spoil):
    coded = deflate._coded
    monkeypatch.setattr(deflate, "_coded", lambda content, last: spoil(coded(content, last)))
    with pytest.raises(SubmissionError, match="does not inflate"):
        deflated(scores(), True)
