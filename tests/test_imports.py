"""Who may import whom: each module in a fresh process, and what it dragged in."""

from __future__ import annotations

import importlib.util
import pkgutil
import subprocess
import sys

import pytest

import risf_cli
import risf_core

HEAVY = {
    "torch", "torchvision", "detectron2", "open_clip", "timm", "pycocotools", "ultrafast_pycocotools", "sklearn",
    "scipy", "matplotlib", "plotly", "safetensors",
}  # fmt: skip
# package -> the heavy libraries that importing it may load (what torch or open_clip load themselves is theirs)
TORCH = {"torch", "scipy", "safetensors"}
OWNERS = {
    "risf_core.rescore.encoder": TORCH | {"torchvision", "open_clip", "timm"},
    "risf_core.rescore.open_clip_model": TORCH | {"torchvision", "open_clip", "timm"},
    "risf_core.rescore.crops": TORCH | {"torchvision"},
    "risf_core.tuning": {"scipy"},
    "risf_core.report.charts": {"plotly"},
    "risf_core.report.page_charts": {"plotly"},
    "risf_core.demo.train_encoder": TORCH | {"torchvision", "open_clip", "timm"},
    "risf_core.demo.train_backbone": TORCH | {"torchvision"},
    "risf_core.losses": TORCH,
    "risf_core.heads": TORCH,
    "risf_core.detector": TORCH | {"torchvision"},
    "risf_core.training": TORCH | {"torchvision"},
    "risf_core.engines.detectron2": HEAVY,  # detectron2 loads what it finds
}


DETECTRON2_ENGINE = "risf_core.engines.detectron2"  # loads only where detectron2 is, and only when asked for


def modules_of(package) -> list[str]:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    names = [package.__name__, *(module.name for module in found if not module.name.endswith("__main__"))]
    if importlib.util.find_spec("detectron2") is None:
        names = [name for name in names if not name.startswith(DETECTRON2_ENGINE)]
    return names


ALL_MODULES = modules_of(risf_core) + modules_of(risf_cli)


def loaded_by(*statements: str) -> set[str]:
    """Every module a fresh process has loaded after the statements."""
    script = "\n".join(["import sys", *statements, "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()} | set(done.stdout.split())


def allowance(module: str) -> frozenset[str]:
    """The heavy libraries that importing the module may load."""
    return frozenset().union(
        *(libraries for owner, libraries in OWNERS.items() if f"{module}.".startswith(f"{owner}."))
    )


BY_ALLOWANCE = {
    allowed: [module for module in ALL_MODULES if allowance(module) == allowed]
    for allowed in sorted({allowance(module) for module in ALL_MODULES}, key=sorted)
}


@pytest.mark.parametrize(("allowed", "modules"), BY_ALLOWANCE.items(), ids=lambda value: "+".join(sorted(value))[:60])
def test_modules_load_no_heavy_library_that_is_not_their_own(allowed: frozenset[str], modules: list[str]) -> None:
    assert loaded_by(*(f"import {module}" for module in modules)) & HEAVY <= allowed


def test_core_never_imports_the_command_line() -> None:
    assert "risf_cli" not in loaded_by(*(f"import {module}" for module in modules_of(risf_core)))


def test_help_of_the_root_imports_neither_numpy_nor_torch_nor_any_command() -> None:
    loaded = loaded_by(
        "import runpy",
        "sys.argv = ['risf', '--help']",
        "try: runpy.run_module('risf_cli', run_name='__main__')",
        "except SystemExit: pass",
    )
    assert not loaded & (HEAVY | {"numpy", "yaml", "PIL"})
    assert not [name for name in loaded if name.startswith("risf_cli.commands.")]
