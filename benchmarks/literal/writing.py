"""Statistics, overlay and archive, plainly: full arrays, defaults of the standard library, one pass per question."""

import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image


def statistics(maps: Sequence[Path], quantiles: Sequence[float]) -> dict[str, float]:
    """Read all maps of a split, pool their pixels and sort them."""
    pixels = np.concatenate([tifffile.imread(path).ravel() for path in maps]).astype(np.float64)
    ordered = np.sort(pixels)
    found = {f"{q:g}": float(ordered[max(0, int(np.ceil(q * ordered.size)) - 1)]) for q in quantiles}
    return {"mean": float(pixels.mean()), "std": float(pixels.std()), "max": float(pixels.max())} | found


def overlay(image: Path, anomaly_map: Path, masks: Sequence[Path], target: Path, panel_px: int) -> None:
    """Draw all panels at the size of the photograph, shrink the strip and write it as a JPEG."""
    photograph = np.asarray(Image.open(image).convert("RGB"))
    scores = tifffile.imread(anomaly_map)
    levels = ((scores - scores.min()) / max(float(np.ptp(scores)), 1e-9) * 255.0).astype(np.uint8)
    panels = [photograph, cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[:, :, ::-1]]
    for path in masks:
        mask = np.asarray(Image.open(path))
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        panels.append(cv2.drawContours(photograph.copy(), contours, -1, (255, 88, 196), 3))
    strip = Image.fromarray(np.concatenate(panels, axis=1))
    scale = panel_px / max(photograph.shape[:2])
    strip.resize((round(strip.width * scale), round(strip.height * scale)), Image.Resampling.LANCZOS).save(target)


def package(maps: Mapping[str, Path], masks: Mapping[str, Path], folder: Path, archive: Path) -> int:
    """Write float16 maps and masks, read every one of them to check it, and pack them with Python's defaults."""
    for name, path in maps.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / name, tifffile.imread(path).astype(np.float16))
    for name, path in masks.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(path))).save(folder / name)
    for name in maps:
        scores = tifffile.imread(folder / name)
        if scores.dtype != np.float16 or not np.isfinite(scores).all():
            raise ValueError(name)
    for name in masks:
        if not set(np.unique(np.asarray(Image.open(folder / name)))) <= {0, 255}:
            raise ValueError(name)
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, folder.name)
    return archive.stat().st_size
