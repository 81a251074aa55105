"""Models of timm as frozen backbones, and as pyramids that are trained."""

from torch import Tensor, nn

from seamark.backbones.base import Backbone
from seamark.backbones.convolutional import ConvolutionalBackbone, PyramidNetwork
from seamark.backbones.table import PublishedBackbone
from seamark.networks.timm_models import fill_buffers, intermediate_maps, pruned


class TimmTokens(Backbone):
    """A model whose layers have one grid and one width, as vision transformers: tokens as its blocks give them."""

    def __init__(self, row: PublishedBackbone, network: nn.Module, digest: str, chosen: tuple[int, ...]) -> None:
        super().__init__(row, digest, chosen, row.channels[0])
        self.network = fill_buffers(network)

    def _features(self, batch: Tensor) -> list[Tensor]:
        return intermediate_maps(self.network, batch, self.chosen)


class TimmLevels(ConvolutionalBackbone):
    """A model whose layers differ in grid or width; one that works at a single size gets no margin."""

    def __init__(
        self, row: PublishedBackbone, network: nn.Module, digest: str, chosen: tuple[int, ...], *, margin: bool = True
    ) -> None:
        super().__init__(row, network, digest, chosen, margin=margin and row.fixed_shape is None)
        self.network = fill_buffers(network)

    def _levels(self, padded: Tensor) -> list[Tensor]:
        return intermediate_maps(self.network, padded, self.chosen)


class TimmPyramid(PyramidNetwork):
    """A model to be trained, up to its level at stride 16."""

    def __init__(self, row: PublishedBackbone, network: nn.Module) -> None:
        super().__init__(row, network)
        self.network = pruned(fill_buffers(network), self.chosen[-1])

    def forward(self, batch: Tensor) -> list[Tensor]:  # noqa: D102
        return intermediate_maps(self.network, batch, self.chosen)
