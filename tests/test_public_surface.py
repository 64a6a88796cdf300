"""The public names of risf_core: what its packages export, and all that README and the documentation use."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "risf_core.rescore": {
        "RescoreCounts", "RescoreResult", "RescoreSettings", "RescoredFile", "SupportChoice", "rescore", "rescore_file",
        "with_preset",
    },
    "risf_core.encoder": {"CropEncoder", "EncoderChoice", "ImageCrops"},
    "risf_core.tuning": {"TextChoices", "TuneSettings", "Tuned", "TunedFile", "tune_file"},
    "risf_core.evaluation": {
        "Aggregate", "Bootstrapped", "EvaluatedFile", "Evaluation", "EvaluationSettings", "Intervals", "Metrics",
        "Spread", "UNDEFINED", "aggregate", "bootstrap", "differences", "evaluate", "evaluate_files", "match",
        "read_detections_for", "read_ground_truth",
    },
    "risf_core.splits": {
        "CheckReport", "DataChoice", "PreparedSplits", "Preview", "SplitFolder", "SplitSettings", "check_split_folder",
        "open_split", "prepare_split_folder", "prepare_splits",
    },
    "risf_core.report": {"Report", "ReportSettings", "write_report"},
}  # fmt: skip
MODULES = {"risf_core.detections", "risf_core.formats.coco", "risf_core.losses", "risf_core.errors"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_exports_its_public_names_each_with_a_docstring(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) == PACKAGES[package]
    assert [name for name in module.__all__ if not inspect.getdoc(getattr(module, name))] == []


def test_the_python_page_shows_what_is_public() -> None:
    page = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^::: (\S+)$", page, flags=re.MULTILINE)) == set(PACKAGES) | MODULES


def imports_of_pages() -> Iterator[tuple[str, str, str]]:
    """Each page of the documentation that has Python, with the module and the name that it imports from risf_core."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("risf_core"):
                    yield from ((page.name, str(node.module), alias.name) for alias in node.names)


def test_the_documentation_imports_public_names_alone() -> None:
    found = list(imports_of_pages())
    assert {page for page, _, _ in found} >= {"README.md", "python.md", "rescore.md"}
    known = {**PACKAGES, "risf_core.engines.detectron2": {"BnrlPredictor", "decouple", "few_shot_dicts"}}
    for page, module, name in found:
        if module in MODULES:
            assert not name.startswith("_"), page
            assert hasattr(importlib.import_module(module), name), page
        else:
            assert name in known[module], page
