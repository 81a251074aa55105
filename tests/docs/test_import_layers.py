"""The three layers know each other in one direction only, and planning and CPU stages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "seamark").rglob("*.py"))
GPU_STAGES = {"distill.py", "train.py", "infer.py"}
CPU_STAGES = sorted(path for path in (ROOT / "stages").glob("*.py") if path.name not in GPU_STAGES)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def loaded_after(code):
    program = f"import sys\nsys.path.insert(0, {str(ROOT / 'src')!r})\n{code}\nprint(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.split())


def test_the_library_never_imports_snakemake_or_stages():
    for path in SOURCES:
        assert not {name.split(".")[0] for name in imported(path)} & {"snakemake", "stages"}, path
        if path.name != "command.py":  # which names the file to Snakemake
            assert "config.yaml" not in path.read_text().replace("never reads config.yaml", ""), path


def test_detectors_are_reached_only_through_the_registry():
    for path in SOURCES:
        if "detectors" in path.parts or path.name == "registry.py":
            continue
        named = [name for name in imported(path) if name.startswith("seamark.detectors")]
        assert not named, path


def test_planning_imports_neither_torch_nor_opencv_nor_numpy():
    loaded = loaded_after("import seamark.planning.plan, seamark.planning.outcome")
    assert not loaded & {"torch", "cv2", "numpy", "timm", "PIL"}


def test_cpu_stages_never_import_torch():
    loaded = loaded_after(f"import runpy\nfor stage in {[*map(str, CPU_STAGES)]}: runpy.run_path(stage)")
    assert "seamark.masks.binarize" in loaded
    assert not loaded & {"torch", "timm", "torchvision"}


def test_files_stay_small():
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert [path for path in [*SOURCES, *tests] if len(path.read_text().splitlines()) > 400] == []
