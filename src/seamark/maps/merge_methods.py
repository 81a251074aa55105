"""The methods of ``merge.method`` under one name."""

from collections.abc import Callable, Sequence
from functools import partial

from seamark.files.images import Float32Array
from seamark.files.parallel import MapItems
from seamark.manifests.tilemaps import CellGeometry
from seamark.maps.cut_merging import merge_cut
from seamark.maps.merging import merge_image
from seamark.maps.robis_merging import robis_merge
from seamark.maps.tile_maps import ScoredImage
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings


def merging(
    images: Sequence[ScoredImage],
    cells: CellGeometry,
    grid: GridSettings,
    settings: MergeSettings,
    map_items: MapItems,
) -> Callable[[ScoredImage], Float32Array]:
    """Return what merges the tile maps of one image into its anomaly map, float32 (h, w).

    Parameters
    ----------
    images : sequence of ScoredImage
        Those that share a scale where ``settings.stretched``; otherwise one image does not depend on the others.
    cells : CellGeometry
        Where the cells lie in the model input.
    grid : GridSettings
        The tiling.
    settings : MergeSettings
        Method, scale, blending, smoothing.
    map_items : MapItems
        Runs work over the images, for example :meth:`seamark.running.job.Job.map`.
    """
    if settings.method == "robis":
        return robis_merge(images, grid, settings, map_items)
    if settings.method == "cut":
        return partial(merge_cut, grid=grid, settings=settings)
    return partial(merge_image, cells=cells, input_shape=grid.input_shape, settings=settings)
