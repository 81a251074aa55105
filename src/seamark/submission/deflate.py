"""Deflate (RFC 1951) for scores: Huffman codes alone, inflated again on the spot; the bytes depend on the content only.

Float16 scores hold next to no repeated byte strings, so codes alone save as much as a search for repetitions does.
"""

import zlib

import numpy as np

from seamark.errors import SubmissionError
from seamark.submission import huffman_kernels as kernels

BLOCK_BYTES = 65_024
"""Bytes that share their codes, 508 tar records; a stored block takes at most 65,535."""

REPETITIVE = 0.25
"""Share of 16-bit words equal to the one before them from which repetitions are worth a search."""

SLACK_BYTES = 16
"""What codes are written in advance, and the empty block at the end."""


def deflated(content: bytes, last: bool) -> bytes:
    """Compress a part of a stream on its own and compare what it inflates to with what went in.

    Parameters
    ----------
    content : bytes
        What to compress.
    last : bool
        Whether the stream ends here; otherwise the part ends at a byte border and others may follow.

    Returns
    -------
    bytes
        Raw deflate blocks.

    Raises
    ------
    SubmissionError
        If zlib inflates the blocks to anything else.
    """
    compressed = _searched(content, last) if _is_repetitive(content) else _coded(content, last)
    _require_intact(compressed, content, last)
    return compressed


def _is_repetitive(content: bytes) -> bool:
    words = np.frombuffer(content, np.uint16, count=len(content) // 2)
    return int(np.count_nonzero(words[1:] == words[:-1])) > REPETITIVE * words.size


def _searched(content: bytes, last: bool) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _coded(content: bytes, last: bool) -> bytes:
    blocks = -(-len(content) // BLOCK_BYTES)
    target = np.zeros(len(content) + blocks * kernels.STORED_BYTES + SLACK_BYTES, np.uint8)
    size = kernels.put_blocks(np.frombuffer(content, np.uint8), BLOCK_BYTES, last, target)
    return target[:size].tobytes()


def _require_intact(compressed: bytes, content: bytes, last: bool) -> None:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        intact = inflater.decompress(compressed) == content and inflater.eof == last and not inflater.unused_data
    except zlib.error:
        intact = False
    if not intact:
        raise SubmissionError(
            "a part of the archive does not inflate to what was compressed; test the machine's memory, remove the "
            "machine code that numba keeps (__pycache__ in Seamark's folder) and package again"
        )
