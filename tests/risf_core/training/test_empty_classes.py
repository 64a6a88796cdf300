"""Classes of a COCO file that no box is of: training leaves them out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from risf_core.datasets.index import read_coco_index
from risf_core.detector.checkpoint import read_checkpoint
from risf_core.engines.train import train
from risf_core.errors import DataError
from risf_core.training.loop import Hooks
from tests.risf_core.training.runs import assert_same_weights


def with_an_empty_class(scenes: Path, folder: Path) -> Path:
    """The scenes as Roboflow exports them: category 0 is a supercategory that no box is of."""
    content = json.loads((scenes / "instances.json").read_text())
    content["categories"].insert(0, {"id": 0, "name": "things"})
    path = folder / "export.json"
    path.write_text(json.dumps(content))
    return path


def test_classes_of_a_coco_file_without_boxes_are_left_out_with_a_note(
    small, scenes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = with_an_empty_class(scenes, tmp_path)
    settings = (f"data.coco=[{path}]", f"data.held_out={path}", "data.held_out_images=2", "solver.evaluate_every=3")
    lines: list[str] = []
    evaluated: list[int] = []
    hooks = Hooks(on_evaluation=lambda iteration, figures: evaluated.append(iteration))
    config = small(*settings, "solver.iterations=3", "solver.steps=[2]")
    train(config, tmp_path / "run", hooks=hooks, on_note=lines.append)
    assert evaluated == [3]
    assert caplog.messages == [f"{path}: 1 of 13 classes have no box and are left out: things"]
    assert any("records of 12 classes" in line for line in lines)
    whole = read_coco_index(scenes / "instances.json").vocabulary  # the same classes without the empty one
    checkpoint = read_checkpoint(tmp_path / "run")
    assert checkpoint.class_count == 12
    assert checkpoint.vocabulary == whole


def test_a_run_on_a_file_with_an_empty_class_is_resumed(small, scenes: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(progress) -> None:
        if progress.iteration == 4:
            raise Killed

    config = small(f"data.coco=[{with_an_empty_class(scenes, tmp_path)}]")
    with pytest.raises(Killed):
        train(config, tmp_path / "run", hooks=Hooks(on_progress=kill))
    train(config, tmp_path / "run", resume=True)
    train(small(), tmp_path / "plain")
    assert_same_weights(tmp_path / "plain", tmp_path / "run")


def test_a_coco_file_without_any_box_is_refused(small, scenes: Path, tmp_path: Path) -> None:
    content = json.loads((scenes / "instances.json").read_text())
    path = tmp_path / "empty.json"
    path.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(DataError) as caught:
        train(small(f"data.coco=[{path}]"), tmp_path / "run")
    assert str(caught.value) == (
        f"{path}: the training images hold no box of any class (crowd and boxes of no area do not count); label some"
    )
    assert not (tmp_path / "run").exists()
