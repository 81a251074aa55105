"""Compiled loops that write deflate blocks of Huffman codes (RFC 1951); importing this module imports numba."""

import numpy as np
import numpy.typing as npt

from seamark.compiled_loops import compiled, inlined

UInt8Array = npt.NDArray[np.uint8]
UInt32Array = npt.NDArray[np.uint32]
Int64Array = npt.NDArray[np.int64]

END_OF_BLOCK = 256
SYMBOLS = 257
"""Bytes and the end of the block; lengths of repetitions are never written."""
LONGEST_CODE = 15
CODE_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
"""Order in which deflate lists the lengths of the codes for code lengths."""
STORED_BYTES = 5
"""What a stored block takes besides its bytes."""


@compiled
def code_lengths(counts: Int64Array) -> UInt8Array:
    """Return the lengths of an optimal prefix code, from that of counts halved where it would be too long.

    Parameters
    ----------
    counts : ndarray of int64, shape (n,)
        How often each symbol occurs; at least two do.

    Returns
    -------
    ndarray of uint8, shape (n,)
        Bits of each code, at most ``LONGEST_CODE``; 0 for symbols that do not occur.
    """
    lengths = np.zeros(counts.size, np.uint8)
    used = np.flatnonzero(counts)
    weights = counts[used]
    longest = LONGEST_CODE + 1
    while longest > LONGEST_CODE:
        order = ascending(weights)
        depths = tree_depths(weights[order])
        longest = depths[0]
        lengths[used[order]] = depths
        weights = (weights + 1) >> 1
    return lengths


@compiled
def ascending(weights: Int64Array) -> Int64Array:
    """Return the stable order of weights; for so few, insertion is as fast as NumPy's sort and compiles in no time."""
    order = np.arange(weights.size)
    for number in range(1, weights.size):
        place = number
        while place > 0 and weights[order[place - 1]] > weights[number]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = number
    return order


@compiled
def tree_depths(weights: Int64Array) -> Int64Array:
    """Return the depth of each leaf of a Huffman tree over ascending weights; it falls from leaf to leaf.

    The two lightest of the leaves and inner nodes that are left become the children of the next inner node.
    """
    leaves = weights.size
    nodes = np.empty(leaves - 1, np.int64)
    parents = np.empty(2 * leaves - 1, np.int64)
    leaf, node = 0, 0
    for made in range(leaves - 1):
        weight = 0
        for _ in range(2):
            if leaf < leaves and (node >= made or weights[leaf] <= nodes[node]):
                weight += weights[leaf]
                parents[leaf] = leaves + made
                leaf += 1
            else:
                weight += nodes[node]
                parents[leaves + node] = leaves + made
                node += 1
        nodes[made] = weight
    depths = np.zeros(2 * leaves - 1, np.int64)
    for number in range(2 * leaves - 3, -1, -1):
        depths[number] = depths[parents[number]] + 1
    return depths[:leaves]


@compiled
def canonical_codes(lengths: UInt8Array) -> UInt32Array:
    """Return for each symbol its code, first bit lowest, and above bit 16 its length."""
    codes = np.zeros(lengths.size, np.uint32)
    code = 0
    for length in range(1, LONGEST_CODE + 1):
        for symbol in range(lengths.size):
            if lengths[symbol] == length:
                reversed_code = 0
                for bit in range(length):
                    reversed_code |= ((code >> bit) & 1) << (length - 1 - bit)
                codes[symbol] = reversed_code | (length << 16)
                code += 1
        code <<= 1
    return codes


@inlined
def put(target: UInt8Array, position: int, bits: int, count: int) -> None:
    """Put some bits at a bit position of zeros."""
    for bit in range(count):
        target[(position + bit) >> 3] |= np.uint8(((bits >> bit) & 1) << ((position + bit) & 7))


@compiled
def put_header(target: UInt8Array, position: int, lengths: UInt8Array) -> int:
    """Put the head of a block with codes of its own and return where it ends.

    Code lengths are themselves written with four bits each. Nothing is ever repeated, yet two distances of one bit are
    listed, because some decoders ask for a complete code.
    """
    put(target, position, 0b100, 3)
    put(target, position + 3, SYMBOLS - 257, 5)
    put(target, position + 8, 2 - 1, 5)
    put(target, position + 13, len(CODE_LENGTH_ORDER) - 4, 4)
    position += 17
    for symbol in CODE_LENGTH_ORDER:
        put(target, position, 4 if symbol <= LONGEST_CODE else 0, 3)
        position += 3
    for number in range(SYMBOLS + 2):
        length = int(lengths[number]) if number < SYMBOLS else 1
        for bit in range(4):  # codes begin with their highest bit
            put(target, position + bit, (length >> (3 - bit)) & 1, 1)
        position += 4
    return position


@inlined
def code_of_pair(first: np.uint32, second: np.uint32) -> tuple[np.uint64, np.uint64]:
    """Return the bits of two codes after each other and how many they are."""
    count = np.uint64(first >> np.uint32(16))
    bits = np.uint64(first & np.uint32(0xFFFF)) | np.uint64(second & np.uint32(0xFFFF)) << count
    return bits, count + np.uint64(second >> np.uint32(16))


@compiled
def put_codes(content: UInt8Array, codes: UInt32Array, target: UInt8Array, position: int) -> int:
    """Put the codes of all bytes and of the block's end, and return where they end."""
    words = target[: target.size & ~3].view(np.uint32)
    place = np.int64(position >> 5)
    waiting = np.uint64(words[place])
    count = np.uint64(position & 31)
    for number in range(0, content.size + 1, 2):
        first = codes[content[number]] if number < content.size else codes[END_OF_BLOCK]
        second = codes[content[number + 1]] if number + 1 < content.size else np.uint32(0)
        second = codes[END_OF_BLOCK] if number + 1 == content.size else second
        bits, more = code_of_pair(first, second)
        waiting |= bits << count
        count += more
        words[place] = np.uint32(waiting & np.uint64(0xFFFFFFFF))
        full = count >> np.uint64(5)  # 0 or 1; whether a word is full is too hard to predict for a branch
        place += np.int64(full)
        waiting >>= full << np.uint64(5)
        count &= np.uint64(31)
    words[place] = np.uint32(waiting)
    return int(place) * 32 + int(count)


@compiled
def put_stored(content: UInt8Array, target: UInt8Array, position: int) -> int:
    """Put a stored block of at most 65,535 bytes and return where it ends, a byte border."""
    place = (position + 3 + 7) >> 3
    target[place] = content.size & 0xFF
    target[place + 1] = content.size >> 8
    target[place + 2] = ~content.size & 0xFF
    target[place + 3] = (~content.size >> 8) & 0xFF
    target[place + 4 : place + 4 + content.size] = content
    return (place + 4 + content.size) * 8


@compiled
def byte_counts(content: UInt8Array) -> Int64Array:
    """Count each byte, and the end of the block once.

    Neighbours are counted apart, because adding twice in a row to the same number takes longer.
    """
    tables = np.zeros((4, SYMBOLS), np.int64)
    whole = content.size & ~3
    for number in range(0, whole, 4):
        tables[0, content[number]] += 1
        tables[1, content[number + 1]] += 1
        tables[2, content[number + 2]] += 1
        tables[3, content[number + 3]] += 1
    for number in range(whole, content.size):
        tables[0, content[number]] += 1
    tables[0, END_OF_BLOCK] = 1
    counts: Int64Array = tables.sum(axis=0)
    return counts


@compiled
def put_block(content: UInt8Array, target: UInt8Array, position: int) -> int:
    """Put a block with codes of its own, or stored where that is smaller, and return where it ends.

    Parameters
    ----------
    content : ndarray of uint8, shape (n,)
        1 to 65,535 bytes.
    target : ndarray of uint8, shape (m,)
        Zeros from the position on.
    position : int
        First free bit.

    Returns
    -------
    int
        First free bit after the block.
    """
    counts = byte_counts(content)
    lengths = code_lengths(counts)
    start = 17 + 3 * len(CODE_LENGTH_ORDER) + 4 * (SYMBOLS + 2)
    bits = start
    for symbol in range(SYMBOLS):
        bits += counts[symbol] * lengths[symbol]
    if bits >= 8 * (content.size + STORED_BYTES):
        return put_stored(content, target, position)
    start = put_header(target, position, lengths)
    return put_codes(content, canonical_codes(lengths), target, start)


@compiled
def put_blocks(content: UInt8Array, block_bytes: int, last: bool, target: UInt8Array) -> int:
    """Put all blocks and an empty stored one, which ends at a byte border.

    Parameters
    ----------
    content : ndarray of uint8, shape (n,)
        Bytes to compress.
    block_bytes : int
        Bytes of a block, 1 to 65,535.
    last : bool
        Whether the stream ends here.
    target : ndarray of uint8, shape (m,)
        Zeros, enough for all blocks stored.

    Returns
    -------
    int
        Bytes written.
    """
    position = 0
    for start in range(0, content.size, block_bytes):
        position = put_block(content[start : start + block_bytes], target, position)
    put(target, position, int(last), 1)
    return put_stored(content[:0], target, position) >> 3
