"""Detectors whose score is the mean of two maps; both are kept, so that their weights can change later."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from seamark.learning.detector import Detector


class ComponentDetector(Detector):
    """A detector that gives two maps per tile, on one scale.

    Attributes
    ----------
    components : tuple of str
        Names of the maps.
    """

    components: ClassVar[tuple[str, str]]

    @abstractmethod
    def component_scores(self, batch: Tensor) -> Tensor:
        """Return both maps of tiles.

        Parameters
        ----------
        batch : Tensor of float32, shape (B, 3, H, W)
            Normalised as the backbone demands.

        Returns
        -------
        Tensor of float32, shape (B, 2, h, w)
            As for :meth:`score`, of each component.
        """

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:
        """Return the mean of both maps (B, h, w)."""
        first, second = self.component_scores(batch).unbind(dim=1)
        return 0.5 * (first + second)
