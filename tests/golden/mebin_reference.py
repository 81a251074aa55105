"""MEBin to the letter of docs/methods/robis.md#mebin: threshold, erode, label and count once per level."""

import cv2
import numpy as np


def reference_counts(scores, weakest, strongest, sample_rate=4, erode_px=6):
    levels = np.zeros(scores.shape)
    reached = scores.astype(np.float64)
    np.copyto(levels, (reached - weakest) / (strongest - weakest) * 255.0, where=reached >= weakest)
    counts = []
    for threshold in range(255, 0, -sample_rate):
        mask = np.where(levels > threshold, 255, 0).astype(np.uint8)
        if erode_px:
            mask = cv2.erode(mask, np.ones((erode_px, erode_px), np.uint8))
        counts.append(cv2.connectedComponents(mask, connectivity=8)[0] - 1)
    return counts


def reference_runs(counts, min_interval):
    start = 0
    for step in range(1, len(counts) + 1):
        if step == len(counts) or counts[step] != counts[start]:
            if counts[start] > 0 and step - start >= min_interval:
                yield counts[start], start, step - 1
            start = step


def reference_step(counts, min_interval=4):
    """The last step of the chosen run, None without one."""
    by_count = {}
    for count, start, end in reference_runs(counts, min_interval):
        by_count.setdefault(count, []).append((start, end))
    chosen, weight = None, -1
    for count, runs in by_count.items():
        longest = max(end - start for start, end in runs)
        if longest > weight:
            chosen, weight = count, longest
    return None if chosen is None else [end for start, end in by_count[chosen] if end - start == weight][-1]


def reference_threshold(scores, weakest, strongest, sample_rate=4, min_interval=4, erode_px=6, truncate=True):
    if not strongest > weakest:
        return None
    step = reference_step(reference_counts(scores, weakest, strongest, sample_rate, erode_px), min_interval)
    if step is None:
        return None
    threshold = (255 - sample_rate * step) * (strongest - weakest) / 255 + weakest
    return float(int(threshold)) if truncate else threshold
