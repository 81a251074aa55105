"""Closing of masks along lines of many directions in parallel, and erosion by an ellipse.

Source: docs/methods/superadd.md#mask.
"""

import math

import cv2
import numpy as np

from seamark.files.images import BoolArray, UInt8Array

THICKNESS_PX = 2


def line_element(half_length: float, angle: float) -> UInt8Array:
    """Return a line of 2 px thickness through the middle of a square, uint8 (n, n), 0 or 1, n odd.

    Parameters
    ----------
    half_length : float
        From the middle to an end in px, at least 1; the ends are rounded to whole px.
    angle : float
        Radians from the direction of rows towards that of columns.
    """
    middle = math.ceil(half_length) + 2
    element = np.zeros((2 * middle + 1, 2 * middle + 1), np.uint8)
    across, down = round(half_length * math.cos(angle)), round(half_length * math.sin(angle))
    ends = (middle - across, middle - down), (middle + across, middle + down)
    return np.asarray(cv2.line(element, *ends, 1, THICKNESS_PX), np.uint8)


def close_along_lines(mask: BoolArray, half_length: float, directions: int) -> BoolArray:
    """Add to a mask what closing it along each line alone adds; no result of one closing goes into another.

    For each direction the mask is dilated by the line, itself dilated by 2 x 2 px, and eroded by the line.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        Foreground; nothing lies beyond its border.
    half_length : float
        Half the length of a line in px, at least 1.
    directions : int
        Lines, at angles of ``180 k / directions`` degrees.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Contains ``mask``.
    """
    if not mask.any():
        return mask
    border = math.ceil(half_length) + 1
    padded = np.pad(mask, border).view(np.uint8)
    closed: UInt8Array = padded
    for direction in range(directions):
        line = line_element(half_length, math.pi * direction / directions)
        wider = cv2.dilate(line, np.ones((2, 2), np.uint8))
        closed = np.maximum(closed, cv2.erode(cv2.dilate(padded, wider), line))
    return np.asarray(closed[border:-border, border:-border], np.bool_)


def erode_ellipse(mask: BoolArray, radius_px: int) -> BoolArray:
    """Erode a mask, bool (H, W), by OpenCV's ellipse of this radius; beyond its border all counts as foreground."""
    if radius_px == 0:
        return mask
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
    return np.asarray(cv2.erode(mask.astype(np.uint8), ellipse).astype(np.bool_))
