"""Compiled loops of the component count; importing this module imports numba.

Loops over short blocks of a row stand alone so that the compiler turns them into vector instructions.
"""

import numpy as np
import numpy.typing as npt

from seamark.compiled_loops import compiled, inlined
from seamark.files.images import Float32Array, UInt8Array

Int32Array = npt.NDArray[np.int32]

NEVER = 255
"""Step of a pixel that no mask contains."""
BLOCK_PX = 64
JOINT = 1 << 30
"""Stands for the offset of a pixel that joins several groups of neighbours."""
END = -1


@compiled
def search_step(score: float, entry_scores: Float32Array, step: int) -> int:
    """Return the first step whose mask contains a score, the number of steps if none does, from a guess."""
    while step > 0 and score >= entry_scores[step - 1]:
        step -= 1
    while step < entry_scores.size and not score >= entry_scores[step]:
        step += 1
    return step


@inlined
def guess_steps(
    block: Float32Array, entry_scores: Float32Array, slope: np.float32, doubt: np.float32, block_steps: UInt8Array
) -> int:
    """Write the step of each score of a block as if thresholds lay evenly, and count the scores close to one."""
    steps = np.float32(entry_scores.size)
    weakest, doubtful = entry_scores[-1], 0
    for column in range(block.size):
        climb = (block[column] - weakest) * slope + np.float32(1.0)
        climb = climb if climb > 0 else np.float32(0.0)
        whole = np.int32(climb if climb < steps else steps)
        from_whole = climb - np.float32(whole)
        near = (from_whole < doubt) | (from_whole > np.float32(1.0) - doubt)
        doubtful += int((climb > 0) & near)
        step = np.int32(steps) - whole
        block_steps[column] = step if whole > 0 else NEVER
    return doubtful


@compiled
def write_first_steps(
    scores: Float32Array, entry_scores: Float32Array, slope: np.float32, doubt: np.float32, steps: UInt8Array
) -> None:
    """Write the first step whose mask contains the pixel.

    Parameters
    ----------
    scores : ndarray of float32, shape (H, W)
        Scores.
    entry_scores : ndarray of float32, shape (n,)
        Smallest score that counts at each step, descending.
    slope : float32
        Steps per unit of score.
    doubt : float32
        Twice the most that an entry score lies off a straight line, in steps. A score that lies further than this from
        all thresholds of the line needs no search; from 0.5 every score is searched for.
    steps : ndarray of uint8, shape (H, W)
        ``NEVER`` beforehand; stays so where the last mask does not contain the pixel.
    """
    height, width = scores.shape
    weakest = entry_scores[-1]
    for row in range(height):
        row_scores, row_steps = scores[row], steps[row]
        for start in range(0, width, BLOCK_PX):
            block, block_steps = row_scores[start : start + BLOCK_PX], row_steps[start : start + BLOCK_PX]
            found = 0
            for column in range(block.size):
                found += block[column] >= weakest
            if found and guess_steps(block, entry_scores, slope, doubt, block_steps):
                for column in range(block.size):
                    step = search_step(block[column], entry_scores, min(int(block_steps[column]), entry_scores.size))
                    block_steps[column] = step if step < entry_scores.size else NEVER


@inlined
def write_neighbourhoods(
    above: UInt8Array, here: UInt8Array, below: UInt8Array, start: int, neighbourhoods: UInt8Array
) -> None:
    """Mark which neighbours enter before a pixel, for a block of a row; bit i stands for the i-th of the ring.

    Pixels of one step enter in scan order, which is why the comparisons with the neighbours further on are strict.
    """
    stop = start + neighbourhoods.size
    north_west, north, north_east = above[start - 1 : stop - 1], above[start:stop], above[start + 1 : stop + 1]
    west, centre, east = here[start - 1 : stop - 1], here[start:stop], here[start + 1 : stop + 1]
    south_west, south, south_east = below[start - 1 : stop - 1], below[start:stop], below[start + 1 : stop + 1]
    for column in range(neighbourhoods.size):
        step = centre[column]
        neighbourhoods[column] = (
            (north_west[column] <= step)
            | ((north[column] <= step) << 1)
            | ((north_east[column] <= step) << 2)
            | ((east[column] < step) << 3)
            | ((south_east[column] < step) << 4)
            | ((south[column] < step) << 5)
            | ((south_west[column] < step) << 6)
            | ((west[column] <= step) << 7)
        )


@compiled
def link_pixels(steps: UInt8Array, offsets: Int32Array, parents: Int32Array, summits: Int32Array) -> None:
    """Link every pixel to a neighbour that enters before it and chain the joints of each step.

    Parameters
    ----------
    steps : ndarray of uint8, shape (H + 2, W + 2)
        First step whose mask contains the pixel, ``NEVER`` along the border.
    offsets : ndarray of int32, shape (256,)
        For each neighbourhood: how far the neighbour lies that a pixel is linked to, 0 without one, ``JOINT`` where
        one neighbour is not enough.
    parents : ndarray of int32, shape ((H + 2) * (W + 2) + n,)
        Receives the linked pixel; for a joint, the next joint of its step, negative, ``END`` after the last. Behind the
        pixels, the first joint of each step.
    summits : ndarray of int32, shape (n,)
        Receives, for each step, the number of pixels that no neighbour enters before.
    """
    height, width = steps.shape
    tails = np.arange(steps.size, steps.size + summits.size).astype(np.int32)
    parents[steps.size :] = END
    buffer = np.empty(BLOCK_PX, dtype=np.uint8)
    for row in range(1, height - 1):
        above, here, below = steps[row - 1], steps[row], steps[row + 1]
        for start in range(1, width - 1, BLOCK_PX):
            block = here[start : min(start + BLOCK_PX, width - 1)]
            earliest = np.uint8(NEVER)
            for column in range(block.size):
                earliest = min(earliest, block[column])
            if earliest == NEVER:
                continue
            neighbourhoods = buffer[: block.size]
            first = row * width + start
            write_neighbourhoods(above, here, below, start, neighbourhoods)
            for column in range(block.size):
                step = block[column]
                if step == NEVER:
                    continue
                pixel = first + column
                offset = offsets[neighbourhoods[column]]
                link = pixel + offset
                if offset == JOINT:
                    link = END
                    parents[tails[step]] = -pixel
                    tails[step] = pixel
                elif offset < 0:
                    beyond = parents[link]
                    link = beyond if beyond >= 0 else link
                elif offset == 0:
                    summits[step] += 1
                parents[pixel] = link


@compiled
def find_root(parents: Int32Array, pixel: int) -> int:
    """Return the root of a pixel and halve the path to it."""
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


@compiled
def join_groups(pixel: int, steps: UInt8Array, ring: Int32Array, parents: Int32Array) -> int:
    """Join the trees around a joint, hang the joint below them, and return by how much the number of trees falls."""
    fewer, root = 0, END
    for number in range(ring.size):
        neighbour = pixel + ring[number]
        if steps[neighbour] < steps[pixel] or (steps[neighbour] == steps[pixel] and neighbour < pixel):
            other = find_root(parents, neighbour)
            if root == END:
                root = other
            elif other != root:
                parents[root] = other
                root = other
                fewer += 1
    parents[pixel] = root
    return fewer


@compiled
def count_trees(steps: UInt8Array, ring: Int32Array, parents: Int32Array, summits: Int32Array) -> Int32Array:
    """Join trees at the joints, step by step, and count the trees after each step.

    Parameters
    ----------
    steps : ndarray of uint8, shape ((H + 2) * (W + 2),)
        First step whose mask contains the pixel.
    ring : ndarray of int32, shape (8,)
        Offsets of the neighbours.
    parents : ndarray of int32, shape ((H + 2) * (W + 2) + n,)
        Links of :func:`link_pixels`; overwritten.
    summits : ndarray of int32, shape (n,)
        Pixels that no neighbour enters before, for each step.

    Returns
    -------
    ndarray of int32, shape (n,)
        8-connected components at each step.
    """
    counts = np.zeros(summits.size, dtype=np.int32)
    trees = 0
    for step in range(summits.size):
        trees += summits[step]
        link = parents[steps.size + step]
        while link != END:
            pixel = -link
            link = parents[pixel]
            trees -= join_groups(pixel, steps, ring, parents)
        counts[step] = trees
    return counts
