"""Any model of timm that gives intermediate features: built, described, read and run by its name there.

``python -m seamark.networks.timm_models <name>`` prints a model's description as JSON; planning, which loads no torch,
calls it so.
"""

import json
import math
import sys
from collections.abc import Collection
from contextlib import redirect_stdout
from difflib import get_close_matches
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from seamark.errors import ConfigError, SeamarkError
from seamark.networks.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()
import timm  # noqa: E402  (timm imports torchvision, which needs the declaration above)

_CHECKED_CELLS = (4, 6)
"""Rows and columns of the coarsest grid at which a description is compared with what the model gives."""
_SOME_CLASSES = 2
_UNRUNNABLE = (AssertionError, RuntimeError, TypeError, ValueError)
"""What models raise at sizes that they cannot work at, and where feature maps have no levels."""


def build_timm(name: str, **arguments: Any) -> nn.Module:
    """Build a model with random weights and without its classifier, for images of any size where it can be set to.

    Parameters
    ----------
    name : str
        Name in timm, with or without the tag of its weights: ``vit_small_patch16_dinov3.lvd1689m``.
    **arguments
        More of what ``timm.create_model`` takes.

    Raises
    ------
    ConfigError
        If timm has no such model.
    """
    _require_known(name)
    arguments = {"pretrained": False, "num_classes": 0} | arguments
    try:
        model: nn.Module = timm.create_model(name, dynamic_img_size=True, **arguments)
    except TypeError:  # convolutional networks have no such setting
        model = timm.create_model(name, **arguments)
    return model


def _require_known(name: str) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), n=5, cutoff=0.0)
        raise ConfigError(f"timm {timm.__version__} has no model {architecture}; the nearest names: {', '.join(near)}")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ConfigError(
            f"timm {timm.__version__} knows no weights {tag} of {architecture}; "
            f"known: {', '.join(tags) or 'none, so leave the tag away and give a file of your own'}"
        )


@cache
def describe(name: str) -> dict[str, Any]:
    """Return what a model is without making room for its weights, ready for JSON.

    Parameters
    ----------
    name : str
        Name in timm.

    Returns
    -------
    dict
        ``name`` with the tag of its weights; ``strides`` (px per cell) and ``channels`` of the layers that
        :func:`intermediate_maps` can give; ``mean`` and ``std`` for intensities in 0..1; ``parameters``;
        ``widest``, the numbers per px that the module with the largest output gives; ``fixed_shape``, the only size
        (H, W) it works at, or None; and of its weights ``licence``, ``hub`` (repository at Hugging Face), ``file`` in
        there, and ``url``, each None where timm knows none.

    Raises
    ------
    ConfigError
        If timm has no such model, or it does not give intermediate features as maps.
    """
    with torch.device("meta"):
        model: Any = build_timm(name).eval()
    if not hasattr(model, "forward_intermediates"):
        raise ConfigError(f"timm's {name} has no forward_intermediates, so it gives no features of its layers")
    known, layers = model.pretrained_cfg, list(model.feature_info)
    strides, channels = ([layer[key] for layer in layers] for key in ("reduction", "num_chs"))
    fixed = known.get("fixed_input_size") and not getattr(model, "dynamic_img_size", False)
    shape = tuple(known["input_size"][1:]) if fixed else tuple(cells * max(strides) for cells in _CHECKED_CELLS)
    widest = _require_promised(name, model, shape)
    return {
        "name": f"{known['architecture']}.{known['tag']}" if known.get("tag") else known["architecture"],
        "strides": strides,
        "channels": channels,
        "mean": known["mean"],
        "std": known["std"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "widest": widest / math.prod(shape),
        "fixed_shape": shape if fixed else None,
        "licence": known.get("license"),
        "hub": known.get("hf_hub_id"),
        "file": known.get("hf_hub_filename"),
        "url": known.get("url"),
    }


def _require_promised(name: str, model: Any, shape: tuple[int, ...]) -> int:
    """Refuse a model whose maps are not those that its data promise; return the numbers of the largest output in it."""
    refusal = f"timm's {name} gives no feature maps that detectors could use"
    sizes: list[int] = []

    def note(_module: nn.Module, _given: Any, output: Any) -> None:
        sizes.append(output.numel() if isinstance(output, Tensor) else 0)

    for module in model.modules():
        module.register_forward_hook(note)
    try:
        maps = intermediate_maps(model, torch.zeros(1, 3, *shape, device="meta"), range(len(model.feature_info)))
    except _UNRUNNABLE as error:
        raise ConfigError(f"{refusal} ({type(error).__name__}: {error})") from error
    for number, (level, layer) in enumerate(zip(maps, model.feature_info, strict=True)):
        stride, given = layer["reduction"], tuple(level.shape[1:])
        promised = (layer["num_chs"], *(side // stride for side in shape))
        if given != promised and not any(side % stride for side in shape):  # other levels suit no tile of this shape
            raise ConfigError(f"{refusal}: layer {number} is of the shape {given}, by its own data of {promised}")
    return max(sizes)


def intermediate_maps(model: nn.Module, batch: Tensor, chosen: Collection[int]) -> list[Tensor]:
    """Return what blocks or stages give, without the final norm and without class and register tokens.

    Parameters
    ----------
    model : Module
        As :func:`build_timm` gives it.
    batch : Tensor of float32, shape (B, 3, H, W)
        Normalised; H and W are multiples of the coarsest chosen stride.
    chosen : collection of int
        Layers, 0-based and increasing. What comes after the last one is not run.

    Returns
    -------
    list of Tensor
        (B, C_k, H_k, W_k) per chosen layer.
    """
    maps = cast("Any", model).forward_intermediates(
        batch, indices=list(chosen), norm=False, stop_early=True, output_fmt="NCHW", intermediates_only=True
    )
    return cast("list[Tensor]", maps)


def pruned(model: nn.Module, last: int) -> nn.Module:
    """Drop what comes after a layer, in place, and return the model."""
    cast("Any", model).prune_intermediate_layers([last], prune_norm=True, prune_head=True)
    return model


def unread_timm(name: str) -> frozenset[str]:
    """Return the names of tensors that a model with its classifier has besides."""
    with torch.device("meta"):
        whole, built = build_timm(name, num_classes=_SOME_CLASSES), build_timm(name)
    return frozenset(whole.state_dict()) - frozenset(built.state_dict())


def renamed_for_timm(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn the tensors of a model's authors into timm's, by timm's own rules for the family; timm's stay as they are.

    The rules also resize patches and positions of another model, which would hide that a file does not fit: tensors
    that were made anew with another shape stay as they were.
    """
    rules = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if rules is None or model.state_dict().keys() <= state.keys():
        return state
    try:
        with redirect_stdout(None):  # some rules print what they leave out
            renamed = rules(dict(state), model)
    except (AttributeError, KeyError, *_UNRUNNABLE):  # rules for other files: the difference in names will tell
        return state
    return {name: state[name] if _resized(tensor, state.get(name)) else tensor for name, tensor in renamed.items()}


def _resized(tensor: Tensor, before: Tensor | None) -> bool:
    """Whether numbers were computed anew; a part of what was there before shares its memory."""
    return (
        before is not None
        and before.shape != tensor.shape
        and before.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()
    )


def fill_buffers(model: nn.Module) -> nn.Module:
    """Compute the buffers that no file holds, of a model built without room for its numbers; return the model.

    Raises
    ------
    ConfigError
        If timm does not say how they are computed.
    """
    for name, module in model.named_modules():
        empty = [(key, buffer) for key, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        if empty and not hasattr(module, "init_non_persistent_buffers"):
            raise ConfigError(f"timm's {type(model).__name__} cannot be loaded: nobody computes {name}.{empty[0][0]}")
        for key, buffer in empty:
            module.register_buffer(key, torch.empty_like(buffer, device="cpu"), persistent=False)
        if empty:
            cast("Any", module).init_non_persistent_buffers()
    return model


if __name__ == "__main__":
    try:
        print(json.dumps(describe(sys.argv[1])))
    except SeamarkError as refusal:
        sys.exit(str(refusal))
