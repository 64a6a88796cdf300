"""Evaluations on the way: what they are of, and which weights they keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from risf_core.engines.train import train
from risf_core.errors import DataError
from risf_core.training import loop
from risf_core.training.loop import Hooks
from risf_core.training.saving import load_state
from tests.messages import assert_names
from tests.risf_core.training.runs import final_weights
from tests.risf_core.training.test_resume import Stop, stop_at


@pytest.fixture
def evaluated(small, scenes: Path):
    """Makes the config of a run that evaluates at iterations 2, 4 and 6."""

    def make(*overrides: str):
        held_out = (f"data.held_out={scenes}/instances.json", "data.held_out_images=2", "solver.evaluate_every=2")
        return small(*held_out, *overrides)

    return make


def script(monkeypatch: pytest.MonkeyPatch, *figures: dict[str, float]) -> None:
    """Evaluations find these figures, one after the other."""
    left = iter(figures)
    monkeypatch.setattr(loop, "held_out_metrics", lambda *arguments: next(left))


def best_weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model_best.pth", weights_only=True)["model"]


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_the_weights_of_the_highest_ap_are_kept(evaluated, tmp_path: Path, monkeypatch) -> None:
    script(monkeypatch, {"AP": 0.1}, {"AP": 0.3}, {"AP": 0.2}, {"AP": 0.0}, {"AP": 0.0})
    train(evaluated(), tmp_path / "run")
    train(evaluated("solver.iterations=4"), tmp_path / "four")
    assert_equal(best_weights(tmp_path / "run"), final_weights(tmp_path / "four"))
    with pytest.raises(AssertionError):
        assert_equal(best_weights(tmp_path / "run"), final_weights(tmp_path / "run"))


def test_the_highest_ap_so_far_is_known_after_resuming(evaluated, tmp_path: Path, monkeypatch) -> None:
    script(monkeypatch, {"AP": 0.1}, {"AP": 0.3}, {"AP": 0.2})
    with pytest.raises(Stop):
        train(evaluated(), tmp_path / "run", hooks=stop_at(5))
    assert load_state(tmp_path / "run").best == 0.3
    before = best_weights(tmp_path / "run")
    train(evaluated(), tmp_path / "run", resume=True)
    assert_equal(best_weights(tmp_path / "run"), before)


def test_an_undefined_ap_is_never_the_best(evaluated, tmp_path: Path, monkeypatch) -> None:
    script(monkeypatch, *[{"AP": -1.0}] * 3)
    train(evaluated(), tmp_path / "never")
    assert not (tmp_path / "never/model_best.pth").exists()
    assert load_state(tmp_path / "never").best is None
    script(monkeypatch, {"AP": -1.0}, {"AP": 0.0}, {"AP": -1.0})
    train(evaluated(), tmp_path / "once")
    train(evaluated("solver.iterations=4", "solver.evaluate_every=0"), tmp_path / "four")
    assert_equal(best_weights(tmp_path / "once"), final_weights(tmp_path / "four"))


@pytest.mark.parametrize(("novel_ap", "best"), [((0.1, 0.2, 0.3), 0.3), ((-1.0, -1.0, -1.0), 0.6)])
def test_the_few_shot_stage_goes_by_the_novel_classes_where_there_are_any(
    evaluated, tmp_path: Path, monkeypatch, novel_ap: tuple[float, ...], best: float
) -> None:
    script(monkeypatch, *({"AP": ap, "nAP": nap} for ap, nap in zip((0.6, 0.5, 0.4), novel_ap, strict=True)))
    train(evaluated("data.setting=generalised"), tmp_path / "run", hooks=Hooks())
    assert load_state(tmp_path / "run").best == best


def test_images_without_a_box_of_the_runs_classes_are_refused(evaluated, scenes: Path, tmp_path: Path) -> None:
    content = json.loads((scenes / "instances.json").read_text())
    for category in content["categories"]:
        category["name"] = f"{category['name']}s"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        train(evaluated(f"data.held_out={path}"), tmp_path / "run")
    ours = ", ".join(category["name"][:-1] for category in content["categories"][:5])
    present = {row["category_id"] for row in content["annotations"]}
    theirs = [category["name"] for category in content["categories"] if category["id"] in present]
    assert_names(str(caught.value), path, ours, "7", ", ".join(theirs[:5]), "`held_out`", "`solver.evaluate_every=0`")
    assert not (tmp_path / "run").exists()


def test_first_images_without_a_box_ask_for_more_of_them(evaluated, scenes: Path, tmp_path: Path) -> None:
    content = json.loads((scenes / "instances.json").read_text())
    first = {image["id"] for image in content["images"][:2]}
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] not in first]
    path = tmp_path / "later.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        train(evaluated(f"data.held_out={path}"), tmp_path / "run")
    message = str(caught.value)
    assert message.startswith(f"{path}: the first 2 images of 24 hold no box of the run's classes (")
    assert message.endswith("; raise data.held_out_images, or set it to null to evaluate on all")
