"""Who may import whom: the rooms by what their files say, heavy libraries by what a fresh process has loaded."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
    "risf_core.encoder.open_clip": TORCH | {"torchvision", "open_clip", "timm"},
    "risf_core.encoder.open_clip_model": TORCH | {"torchvision", "open_clip", "timm"},
    "risf_core.encoder.torchscript": TORCH,
    "risf_core.encoder.crops": TORCH | {"torchvision"},
    "risf_core.tuning": {"scipy"},
    "risf_core.report.charts": {"plotly"},
    "risf_core.report.page_charts": {"plotly"},
    "risf_core.demo.train_encoder": TORCH | {"torchvision", "open_clip", "timm"},
    "risf_core.demo.train_backbone": TORCH | {"torchvision"},
    "risf_core.losses": TORCH,
    "risf_core.heads": TORCH,
    "risf_core.detector": TORCH | {"torchvision"},
    "risf_core.training": TORCH | {"torchvision"},
    "risf_core.engines.train": TORCH | {"torchvision"},
    "risf_core.engines.detectron2": HEAVY,  # detectron2 loads what it finds
}


DETECTRON2_ENGINE = "risf_core.engines.detectron2"  # loads only where detectron2 is, and only when asked for


# Rooms: the packages and top modules of risf_core, and the command line. What a file imports at its top is of its own
# room or of one in its row. Rows name only rooms above them, so there is no cycle. Imports inside functions do not
# count: they load what only some calls need.
FOUNDATION = (  # each sees those left of it
    "errors", "unpickling", "choices", "progress", "locks", "overwriting", "files",
    "config_values", "config", "project", "vocabulary", "devices", "processes", "boxes", "detections", "images",
    "photos", "datasets", "records", "formats", "splits",
)  # fmt: skip
NETWORK = (*FOUNDATION, "losses", "heads", "detector")
SCORING = (*FOUNDATION, "evaluation", "encoder", "rescore")
ROOMS: dict[str, tuple[str, ...]] = {
    **{room: FOUNDATION[:place] for place, room in enumerate(FOUNDATION)},
    "losses": FOUNDATION,
    "heads": FOUNDATION,
    "detector": (*FOUNDATION, "losses", "heads"),
    "evaluation": FOUNDATION,
    "encoder": FOUNDATION,
    "rescore": (*FOUNDATION, "encoder"),  # any detector's output: never the detector
    "tuning": SCORING,
    "report": SCORING,
    # engines.train starts the engine that a config names, and imports engines.detectron2 inside the function for it
    "training": (*NETWORK, "evaluation"),
    "engines": (*NETWORK, "evaluation", "training"),
    "engines.detectron2": (*NETWORK, "engines", "training"),
    "doctor": (*FOUNDATION, "engines"),
    "demo": (*NETWORK, *SCORING),  # runs the public commands; its own encoder and backbone are trained here
}
ROOMS["risf_cli"] = tuple(ROOMS)  # everything, and nothing sees it


def modules_of(package) -> list[str]:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    names = [package.__name__, *(module.name for module in found if not module.name.endswith("__main__"))]
    if importlib.util.find_spec("detectron2") is None:
        names = [name for name in names if not name.startswith(DETECTRON2_ENGINE)]
    return names


ALL_MODULES = modules_of(risf_core) + modules_of(risf_cli)


FILES = {  # module -> its file, also of engines that are not installed
    ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for root in (Path(risf_core.__file__).parent, Path(risf_cli.__file__).parent)
    for path in sorted(root.rglob("*.py"))
}


def imports_of(source: str, module: str, *, in_functions: bool = False) -> Iterator[str]:
    """What of risf a file imports at its top, or anywhere: modules, or names in them."""
    waiting: list[ast.AST] = [ast.parse(source)]
    for node in waiting:  # grows on the way
        if isinstance(node, ast.ImportFrom):
            package = module if FILES.get(module, Path()).name == "__init__.py" else module.rpartition(".")[0]
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in found if name.startswith("risf_"))
        late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if in_functions or not (late or for_types):
            waiting += ast.iter_child_nodes(node)


def room_of(module: str) -> str:
    """The room of a module or of a name in it, the inmost one that has a row; "" for risf_core itself."""
    words = module.removeprefix("risf_core").lstrip(".").split(".")
    if words == [""]:
        return ""
    for count in range(len(words), 0, -1):
        if (room := ".".join(words[:count])) in ROOMS:
            return room
    raise AssertionError(f"{module} is of no room: give it a row in ROOMS")


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


def test_core_never_imports_the_command_line_not_even_inside_a_function() -> None:
    for module, path in FILES.items():
        imported = imports_of(path.read_text(encoding="utf-8"), module, in_functions=True)
        assert module.startswith("risf_cli") or not [name for name in imported if name.startswith("risf_cli")], module


def test_rooms_see_only_rooms_above_them() -> None:
    above: set[str] = set()
    for room, seen in ROOMS.items():
        assert above.issuperset(seen), room
        above.add(room)
    assert {room_of(module) for module in FILES} == {"", *ROOMS}  # "": risf_core/__init__.py, which imports nothing


@pytest.mark.parametrize("room", ROOMS)
def test_files_import_at_their_top_only_from_rooms_that_their_own_may_see(room: str) -> None:
    unseen = [
        f"{module} imports {name}"
        for module, path in FILES.items()
        if room_of(module) == room
        for name in imports_of(path.read_text(encoding="utf-8"), module)
        if room_of(name) not in (room, *ROOMS[room])
    ]
    assert unseen == []


def test_imports_inside_functions_and_for_types_alone_are_told_from_those_at_the_top() -> None:
    source = """
from risf_core import losses
from risf_core.engines import detectron2
try:
    import risf_core.heads
except ImportError:
    from .boxes import Box
if TYPE_CHECKING:
    from risf_core.engines import train
def late():
    import risf_cli.app
"""
    top = {"risf_core.losses", "risf_core.engines.detectron2", "risf_core.heads", "risf_core.encoder.boxes.Box"}
    assert set(imports_of(source, "risf_core.encoder.crops")) == top
    late = {"risf_core.engines.train", "risf_cli.app"}
    assert set(imports_of(source, "risf_core.encoder.crops", in_functions=True)) == top | late
    assert [room_of(name) for name in sorted(top)] == ["encoder", "engines.detectron2", "heads", "losses"]
    with pytest.raises(AssertionError, match=r"risf_core\.attic\.box is of no room"):
        room_of("risf_core.attic.box")


def test_help_of_the_root_imports_neither_numpy_nor_torch_nor_any_command() -> None:
    loaded = loaded_by(
        "import runpy",
        "sys.argv = ['risf', '--help']",
        "try: runpy.run_module('risf_cli', run_name='__main__')",
        "except SystemExit: pass",
    )
    assert not loaded & (HEAVY | {"numpy", "yaml", "PIL"})
    assert not [name for name in loaded if name.startswith("risf_cli.commands.")]
