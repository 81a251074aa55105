"""Segment Anything as a segmenter: an image is embedded once for all of its boxes.

Paper: Kirillov et al., "Segment Anything", ICCV 2023. Networks: package segment-anything 1.0 (Apache-2.0) of
https://github.com/facebookresearch/segment-anything. Source of the use made of them:
docs/methods/robis.md#sam-refinement.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seamark.files.atomic import file_digest
from seamark.files.images import BoolArray, Float32Array, UInt8Array
from seamark.masks.sam_prompts import crop_windows, input_shape, scale_boxes
from seamark.masks.segmenter import Patch
from seamark.networks.torchvision_operators import declare_torchvision_operators
from seamark.settings.refine import SamSettings
from seamark.tiles.geometry import Box
from seamark.weights.finding import find_weights, is_published, verify_digest
from seamark.weights.published import SAM_WEIGHTS
from seamark.weights.reading import load_strictly

LOG = logging.getLogger("seamark")

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""Mean and standard deviation of each channel (R, G, B) for intensities in 0..255."""


def build_sam(model: str) -> Any:
    """Build a network with random weights.

    Parameters
    ----------
    model : str
        ``vit_b``, ``vit_l`` or ``vit_h``.

    Returns
    -------
    Sam
        A ``segment_anything.modeling.Sam`` in evaluation mode.
    """
    declare_torchvision_operators()
    from segment_anything import sam_model_registry  # noqa: PLC0415 (the operators must be declared first)

    return sam_model_registry[model]()


def load_sam(settings: SamSettings, seed: int = 0) -> Any:
    """Build a network and load its weights.

    Parameters
    ----------
    settings : SamSettings
        Model and weights.
    seed : int
        Seed of random weights.

    Returns
    -------
    Sam
        A ``segment_anything.modeling.Sam`` on the CPU, in evaluation mode, without gradients.

    Raises
    ------
    WeightsError
        If the weights are missing, damaged or of another network.
    """
    if settings.weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_sam(settings.model).requires_grad_(False)
    source = SAM_WEIGHTS[settings.model]
    path = find_weights(source, settings.weights)
    digest = verify_digest(path, source) if is_published(settings.weights) else file_digest(path)
    with torch.device("meta"):
        network = build_sam(settings.model)
    load_strictly(network, path, {})
    # No file holds these two, so they are still on the meta device.
    network.pixel_mean, network.pixel_std = (torch.tensor(one).view(-1, 1, 1) for one in (PIXEL_MEAN, PIXEL_STD))
    LOG.info("sam %s with the weights %s, sha256 %s", settings.model, path, digest)
    return network.requires_grad_(False)


@dataclass(frozen=True)
class Embedding:
    """An image as the mask decoder wants it.

    Attributes
    ----------
    features : Tensor
        (1, 256, h, w) float32, h = w = 64 for the published models.
    shape : tuple of int
        Height and width of the image in px.
    resized : tuple of int
        Height and width at which it entered the network, without the padding.
    """

    features: Tensor
    shape: tuple[int, int]
    resized: tuple[int, int]


class SamSegmenter:
    """Segments each box with Segment Anything; safe to use from several threads.

    Parameters
    ----------
    network : Sam
        A ``segment_anything.modeling.Sam``; it is moved to the device.
    settings : SamSettings
        What it is shown and which of its masks are taken.
    device : str
        ``cpu`` or ``cuda:<index>``. One thread is used on the CPU, so that results do not depend on their number; on a
        GPU convolutions are of float32, where torch would let them take TF32.

    Attributes
    ----------
    boxes_per_pass : int
        Boxes that are decoded together. On the CPU it is one: a pass of 16 is not faster there, and in it the last bits
        of a mask depend on the boxes beside it, which flips a pixel now and then.
    """

    def __init__(self, network: Any, settings: SamSettings, device: str = "cpu") -> None:
        if torch.device(device).type == "cpu":
            torch.set_num_threads(1)
        else:
            torch.backends.cudnn.allow_tf32 = False
        self._network = network.to(device).eval()
        self._settings = settings
        self._device = device
        self.boxes_per_pass = 1 if torch.device(device).type == "cpu" else settings.boxes_per_batch

    @torch.inference_mode()
    def embed(self, image: UInt8Array) -> Embedding:
        """Compute the features of an image.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, 3)
            Three channels in the order in which the network shall see them.

        Returns
        -------
        Embedding
            On the device.
        """
        shape = (image.shape[0], image.shape[1])
        resized = input_shape(shape, self._network.image_encoder.img_size)
        pixels = np.array(Image.fromarray(image).resize(resized[::-1], Image.Resampling.BILINEAR))
        planes = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()[None].to(self._device)
        return Embedding(self._network.image_encoder(self._network.preprocess(planes)), shape, resized)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, boxes: Sequence[Box]) -> tuple[Tensor, Tensor]:
        """Compute the masks of boxes in one pass, at the decoder's own resolution.

        Parameters
        ----------
        embedding : Embedding
            The image.
        boxes : sequence of Box
            N prompts in px of the image.

        Returns
        -------
        tuple of Tensor
            Logits (N, K, h, w), h = w = 256 for the published models, and predicted IoU (N, K); K is 1 for the single
            mask and 3 otherwise.
        """
        scaled = torch.from_numpy(scale_boxes(boxes, embedding.shape, embedding.resized)).to(torch.float32)
        sparse, dense = self._network.prompt_encoder(points=None, boxes=scaled.to(self._device), masks=None)
        logits, quality = self._network.mask_decoder(
            image_embeddings=embedding.features,
            image_pe=self._network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self._settings.masks != "single",
        )
        return logits, quality

    @torch.inference_mode()
    def enlarge(self, logits: Tensor, embedding: Embedding) -> Tensor:
        """Bring logits (K, h, w) of one box to the size of its image, (K, H, W).

        One box at a time: three full-size masks of a 5 Mpx image take 60 MB.
        """
        enlarged: Tensor = self._network.postprocess_masks(logits[None], embedding.resized, embedding.shape)
        return enlarged[0]

    def segment(
        self,
        image: UInt8Array,
        coarse: BoolArray,  # noqa: ARG002
        scores: Float32Array,  # noqa: ARG002
        boxes: Sequence[Box],
    ) -> list[Patch]:
        """Segment one image; see :class:`seamark.masks.segmenter.Segmenter`.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, C)
            Grey or RGB photograph.
        coarse, scores : ndarray of bool and of float32, shape (H, W)
            Not looked at: the boxes say all.
        boxes : sequence of Box
            Prompts in image px, in ascending order of size; they may be empty or reach beyond the image.

        Returns
        -------
        list of Patch
            An empty one where no logit is above the network's threshold; one as large as the image or the crop where
            all are.
        """
        channels = np.broadcast_to(image, (*image.shape[:2], 3))
        pixels = channels[:, :, ::-1] if self._settings.channel_order == "bgr" else channels
        whole = (0, 0, image.shape[1], image.shape[0])
        windows = (
            [whole] * len(boxes)
            if self._settings.prompt_on == "image"
            else crop_windows(boxes, (image.shape[0], image.shape[1]), self._settings)
        )
        found: dict[int, Patch] = {}
        for window in dict.fromkeys(windows):
            numbers = [number for number, one in enumerate(windows) if one == window]
            found |= zip(
                numbers, self._segment_window(pixels, window, [boxes[number] for number in numbers]), strict=True
            )
        return [found[number] for number in range(len(boxes))]

    def _segment_window(self, pixels: UInt8Array, window: Box, boxes: Sequence[Box]) -> Iterator[Patch]:
        x0, y0, x1, y1 = window
        embedding = self.embed(np.ascontiguousarray(pixels[y0:y1, x0:x1]))
        moved = [(box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0) for box in boxes]
        for start in range(0, len(moved), self.boxes_per_pass):
            for logits, quality in zip(
                *self.decode(embedding, moved[start : start + self.boxes_per_pass]), strict=True
            ):
                chosen = logits[quality.argmax()][None] if self._settings.masks == "best_of_three" else logits
                above = self.enlarge(chosen, embedding) > self._network.mask_threshold
                yield _trimmed(above.any(dim=0).cpu().numpy(), x0, y0)


def _trimmed(mask: BoolArray, x: int, y: int) -> Patch:
    """Return the smallest patch that holds the foreground of a mask whose corner lies at x, y."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Patch(x, y, np.zeros((0, 0), dtype=np.bool_))
    top, left = int(rows[0]), int(columns[0])
    return Patch(x + left, y + top, mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].copy())
