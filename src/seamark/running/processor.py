"""The processor, and the loops that libraries choose for it: they decide the last bits of results.

PyTorch, oneDNN, MKL, OpenBLAS, NumPy and OpenCV have several loops for the same sums and take those that suit the
processor they find. docs/reproducibility.md has what was measured.
"""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

NEEDED = ("avx2", "fma")
"""Instructions of the loops that ``any_cpu`` names."""

PINNED: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENCV_IPP": "avx2",
}
"""Variables that name loops which every processor with these instructions has. Of MKL's, only the compatible ones are
the same on processors of other makers than Intel."""

PINNED_WITH_AVX512: Mapping[str, str] = {"OPENCV_CPU_DISABLE": "AVX512-SKX"}
"""Further ones where the processor has AVX-512; elsewhere OpenCV would complain in every job."""

FREE = (
    "DNNL_CPU_ISA_HINTS",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_ENABLE_CPU_FEATURES",
    "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "OPENBLAS_L2_SIZE",
)
"""Variables that change loops or rounding, or contradict the pinned ones; ``any_cpu`` takes them away."""

TOLD = ("avx", "avx2", "fma", "amx", "f16c", "asimd", "sve")
"""Beginnings of the names of instructions that loops are chosen by."""


def processor_facts() -> tuple[str, tuple[str, ...]]:
    """Return the name of the processor and which instructions it has that loops are chosen by, as Linux knows them."""
    facts: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    flags = facts.get("flags") or facts.get("Features", "")
    return facts.get("model name", platform.machine()), tuple(flag for flag in flags.split() if flag.startswith(TOLD))


def pinned_variables(instructions: tuple[str, ...]) -> dict[str, str]:
    """Return the variables, by name, that ``any_cpu`` sets on a processor with these instructions."""
    return {**PINNED, **(PINNED_WITH_AVX512 if "avx512f" in instructions else {})}


def loops() -> dict[str, object]:
    """Return what decided which loops the libraries of this process took, ready for JSON.

    Returns
    -------
    dict
        Name and instructions of the processor, whether all variables are pinned, and those that are set.
    """
    name, instructions = processor_facts()
    pinned = pinned_variables(instructions)
    variables = {key: os.environ[key] for key in (*pinned, *PINNED_WITH_AVX512, *FREE) if os.environ.get(key)}
    facts: dict[str, object] = {
        "processor": name,
        "instructions": instructions,
        "reproducible": "any_cpu" if variables == pinned else "this_cpu",
        "variables": variables,
    }
    if "torch" in sys.modules:
        facts["torch_loops"] = sys.modules["torch"].backends.cpu.get_cpu_capability()
    return facts
