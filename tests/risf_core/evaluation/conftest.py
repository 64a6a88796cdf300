"""Plain pycocotools, called as its documentation shows, as the reference of every figure."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable, Sequence

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation import read_detections_for, read_ground_truth

Reference = Callable[..., list[float]]
# the names of COCOeval.stats, in its order
STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@pytest.fixture(scope="session")
def stat_names() -> tuple[str, ...]:
    return STATS


@pytest.fixture(scope="session")
def pycocotools_stats() -> Reference:
    """`COCOeval.stats` of a dataset dict and a results list, over all categories or some."""

    def stats(dataset: dict, results: list[dict], category_ids: Sequence[int] | None = None) -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = copy.deepcopy(dataset)
            truth.createIndex()
            if results:
                found = truth.loadRes(copy.deepcopy(results))
            else:  # loadRes cannot take an empty list
                found = COCO()
                found.dataset = {"images": dataset["images"], "categories": dataset["categories"], "annotations": []}
                found.createIndex()
            evaluation = COCOeval(truth, found, "bbox")
            if category_ids is not None:
                evaluation.params.catIds = list(category_ids)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return [float(value) for value in evaluation.stats]

    return stats


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Callable[[dict, list[dict]], tuple[Detections, AnnotatedDataset]]:
    """Writes a dataset and a results list and reads them back as the table and the ground truth."""
    folder = tmp_path_factory.mktemp("files")

    def read(dataset: dict, results: list[dict]) -> tuple[Detections, AnnotatedDataset]:
        (folder / "truth.json").write_text(json.dumps(dataset))
        (folder / "results.json").write_text(json.dumps(results))
        truth = read_ground_truth(folder / "truth.json")
        return read_detections_for(folder / "results.json", truth).detections, truth

    return read
