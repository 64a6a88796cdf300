"""Who may import whom: the rooms by what their files say, heavy libraries by what importing a module loads."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import risf_cli
import risf_core

HEAVY = {
    "torch", "torchvision", "detectron2", "open_clip", "timm", "pycocotools", "ultrafast_pycocotools", "sklearn",
    "scipy", "matplotlib", "plotly", "safetensors",
}  # fmt: skip
# module or package -> the heavy libraries that it, or what it imports, imports at the top of a file
OWNERS = {
    "risf_core.encoder.batches": {"torch"},
    "risf_core.encoder.preprocessing": {"torch", "torchvision"},
    "risf_core.encoder.open_clip": {"torch", "open_clip", "torchvision", "safetensors"},
    "risf_core.encoder.openvino": {"torch"},
    "risf_core.encoder.open_clip_model": {"torch", "open_clip", "torchvision", "safetensors"},
    "risf_core.encoder.damaged": {"safetensors"},
    "risf_core.encoder.image_weights": {"torch", "timm", "safetensors"},
    "risf_core.encoder.timm_encoder": {"torch", "timm", "torchvision", "safetensors"},
    "risf_core.encoder.pcb": {"torch", "timm", "torchvision", "safetensors"},
    "risf_core.encoder.torchscript": {"torch"},
    "risf_core.encoder.crops": {"torch", "torchvision"},
    "risf_core.report.charts": {"plotly"},
    "risf_core.report.page_charts": {"plotly"},
    "risf_core.demo.train_encoder": {"torch", "torchvision", "open_clip", "safetensors"},
    "risf_core.demo.train_backbone": {"torch", "torchvision"},
    "risf_core.losses": {"torch"},
    "risf_core.heads": {"torch"},
    "risf_core.detector": {"torch", "torchvision", "timm"},  # timm: timm_backbone alone
    "risf_core.training": {"torch", "torchvision"},
    "risf_core.engines.train": {"torch", "torchvision"},
    "risf_core.engines.detectron2": {"torch", "torchvision", "detectron2"},
}


# Rooms: the packages and top modules of risf_core, and the command line. What a file imports at its top is of its own
# room or of one in its row. Rows name only rooms above them, so there is no cycle. Imports inside functions do not
# count: they load what only some calls need.
FOUNDATION = (  # each sees those left of it
    "errors", "hub", "choices", "progress", "locks", "files", "documents", "outputs", "unpickling",
    "config", "project", "class_lists", "vocabulary", "devices", "processes", "boxes", "detections",
    "images", "photos", "datasets", "records", "formats", "splits",
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


FILES = {  # module -> its file, also of engines that are not installed
    ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for root in (Path(risf_core.__file__).parent, Path(risf_cli.__file__).parent)
    for path in sorted(root.rglob("*.py"))
}


def imports_of(source: str, module: str, *, in_functions: bool = False) -> Iterator[str]:
    """What a file imports at its top, or anywhere: modules, or names in them."""
    waiting: list[ast.AST] = [ast.parse(source)]
    for node in waiting:  # grows on the way
        if isinstance(node, ast.ImportFrom):
            package = module if FILES.get(module, Path()).name == "__init__.py" else module.rpartition(".")[0]
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from found
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


@cache
def imported_by(module: str, *, in_functions: bool = False) -> frozenset[str]:
    """What a file of risf imports at its top, or anywhere."""
    return frozenset(imports_of(FILES[module].read_text(encoding="utf-8"), module, in_functions=in_functions))


def of_risf(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith("risf_")]


def module_of(name: str) -> str:
    """The module of risf that a name is or is in."""
    while name not in FILES:
        name = name.rpartition(".")[0]
    return name


@cache
def loaded_with(module: str) -> frozenset[str]:
    """The modules of risf that importing one loads at once: packages around it, and what is imported at their tops."""
    waiting, seen = [module], set()
    while waiting:
        if (name := waiting.pop()) and name not in seen:
            seen.add(name)
            waiting += [name.rpartition(".")[0], *map(module_of, of_risf(imported_by(name)))]
    return frozenset(seen)


def loaded_by(*statements: str) -> set[str]:
    """Every module a fresh process has loaded after the statements."""
    script = "\n".join(["import sys", *statements, "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()} | set(done.stdout.split())


def allowance(module: str) -> set[str]:
    """The heavy libraries that importing the module may load."""
    return {each for owner, libraries in OWNERS.items() if f"{module}.".startswith(f"{owner}.") for each in libraries}


def heavy_libraries(module: str) -> set[str]:
    """The heavy libraries that importing the module loads."""
    return {name.partition(".")[0] for each in loaded_with(module) for name in imported_by(each)} & HEAVY


def test_modules_load_no_heavy_library_that_is_not_their_own() -> None:
    foreign = {module: heavy_libraries(module) - allowance(module) for module in FILES}
    assert {module: libraries for module, libraries in foreign.items() if libraries} == {}


@pytest.mark.parametrize("owner", OWNERS)
def test_owners_need_their_libraries(owner: str) -> None:
    inside = [module for module in FILES if f"{module}.".startswith(f"{owner}.")]
    assert set().union(*map(heavy_libraries, inside)) == OWNERS[owner]


def test_a_fresh_process_loads_nothing_heavy_for_modules_that_own_nothing_heavy() -> None:
    light = [module for module in FILES if not allowance(module) and not module.endswith("__main__")]
    assert not loaded_by(*(f"import {module}" for module in light)) & HEAVY


def test_the_architecture_page_names_every_room() -> None:
    page = (Path(risf_core.__file__).parent.parent / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Who imports whom")[2]
    assert {room for room in ROOMS if f"`{room}`" not in section} == set()


def test_no_file_imports_in_a_circle() -> None:
    def is_package_of(package: str, module: str) -> bool:
        return f"{module}.".startswith(f"{package}.")

    graph = {
        module: {each for each in map(module_of, of_risf(imported_by(module))) if not is_package_of(each, module)}
        for module in FILES
    }
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_a_trainings_options_and_data_are_read_without_torch() -> None:
    assert not loaded_by("import risf_core.training.plan") & HEAVY


def test_core_never_imports_the_command_line_not_even_inside_a_function() -> None:
    for module in FILES:
        imported = imported_by(module, in_functions=True)
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
        for module in FILES
        if room_of(module) == room
        for name in of_risf(imported_by(module))
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
