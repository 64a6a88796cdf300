"""Re-scoring and tuning on real photos and real detections, with the stand-in encoder (which is not CLIP)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from risf_core.choices import DEFAULT_CLIP
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.detections import Detections
from risf_core.devices import choose_precision
from risf_core.encoder.cache import EmbeddingCache
from risf_core.encoder.cached import CachedEncoder
from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.weights import EncoderSource, find_encoder
from risf_core.evaluation import evaluate, read_ground_truth
from risf_core.rescore import RescoreSettings, rescore
from risf_core.rescore.inputs import read_inputs
from risf_core.rescore.prototypes import make_prototypes
from risf_core.tuning.cross_validation import images_of
from tests.conftest import Run


def encoder_words(real: Path) -> list[str]:
    (config,) = (real / "clip_standin").glob("*.json")
    return ["--clip-config", str(config), "--clip-weights", str(real / "clip_standin" / "open_clip_model.safetensors")]


def before_and_after(
    risf: Run, real: Path, folder: Path, name: str, *options: str
) -> tuple[dict[str, float], dict[str, float]]:
    """The metrics of a real detections file and of the same file re-scored, other settings at their defaults."""
    detections, annotations = real / "detections" / name, real / "instances.json"
    words = ["rescore", detections, "--annotations", annotations, "--images", real / "photos", *encoder_words(real)]
    done = risf(*words, "--out", folder / "after.json", *options)
    assert done.exit_code == 0, done.output
    words = ["evaluate", detections, folder / "after.json", "--annotations", annotations, "--novel", "coco20", "--json"]
    done = risf(*words)
    assert done.exit_code == 0, done.output
    before, after = (result["metrics"] for result in json.loads(done.stdout)["results"])
    return before, after


def test_a_weak_classifier_gains_as_an_independent_script_measured(risf: Run, real_data: Path, tmp_path: Path) -> None:
    before, after = before_and_after(risf, real_data, tmp_path, "yolox_nano_weak.json")
    assert [round(100 * before[name], 2) for name in ("AP", "nAP")] == [20.16, 31.18]
    assert [100 * after[name] for name in ("AP", "nAP")] == pytest.approx([26.24, 36.92], abs=0.3)


def test_a_strong_classifier_is_left_about_where_it_was(risf: Run, real_data: Path, tmp_path: Path) -> None:
    before, after = before_and_after(risf, real_data, tmp_path, "yolox_nano.json")
    assert [round(100 * before[name], 2) for name in ("AP", "nAP")] == [35.82, 44.85]
    assert [100 * after[name] for name in ("AP", "nAP")] == pytest.approx([35.69, 44.60], abs=0.3)


def test_five_passes_a_photo_give_most_of_what_crops_give(risf: Run, real_data: Path, tmp_path: Path) -> None:
    before, after = before_and_after(risf, real_data, tmp_path, "yolox_nano_weak.json", "--evidence", "photo")
    assert 100 * (after["AP"] - before["AP"]) > 4  # crops: 6
    before, after = before_and_after(risf, real_data, tmp_path, "yolox_nano.json", "--evidence", "photo")
    assert 100 * (after["AP"] - before["AP"]) > -0.6


def test_boxes_whose_classes_are_erased_get_them_back(risf: Run, real_data: Path, tmp_path: Path) -> None:
    """The detector's boxes with the best of 80 names each; with its own classes it reaches 35.8 AP."""
    rows = json.loads((real_data / "detections" / "yolox_nano.json").read_text())
    (tmp_path / "boxes.json").write_text(json.dumps([{**row, "category_id": 1} for row in rows]))
    annotations = real_data / "instances.json"
    words = ["rescore", tmp_path / "boxes.json", "--annotations", annotations, "--images", real_data / "photos"]
    options = ["--class-agnostic", "--relabel", 1, "--out", tmp_path / "after.json"]
    done = risf(*words, *encoder_words(real_data), *options)
    assert done.exit_code == 0, done.output
    assert "; boxes without one are dropped" in done.stderr
    assert "of classes without shots" not in done.stderr
    done = risf("evaluate", tmp_path / "after.json", "--annotations", annotations, "--json")
    assert json.loads(done.stdout)["results"][0]["metrics"]["AP"] > 0.18


def tuned(risf: Run, real: Path, folder: Path, name: str, *options: object) -> dict:
    """What `risf tune` says of a real detections file."""
    words = ["tune", str(real / "detections" / name), "--annotations", str(real / "instances.json")]
    words += ["--images", str(real / "photos"), "--out", str(folder / "fusion.json"), "--bootstrap", "50", "--json"]
    done = risf(*words, "--quiet", "--novel", "coco20", *encoder_words(real), *options)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_weak_classifier_gains_more_by_a_fit_than_by_the_papers_formula(
    risf: Run, real_data: Path, tmp_path: Path
) -> None:
    content = tuned(risf, real_data, tmp_path, "yolox_nano_weak.json")
    detector, paper, _, fitted = (100 * m["metrics"]["AP"] for m in content["cross_validation"]["methods"])
    assert detector == pytest.approx(20.16, abs=0.005)
    assert fitted > detector + 5
    assert fitted > paper + 1
    assert content["verdict"].startswith("re-scoring helps this detector: +")
    content = tuned(risf, real_data, tmp_path, "yolox_nano_weak.json", "--relabel", 3)
    relabelled = content["cross_validation"]["methods"][-1]
    assert relabelled["name"] == "fitted, 3 other classes"
    assert 100 * relabelled["metrics"]["AP"] > fitted + 1


def test_a_strong_classifier_is_not_harmed(risf: Run, real_data: Path, tmp_path: Path) -> None:
    content = tuned(risf, real_data, tmp_path, "yolox_nano.json", "--relabel", 3)
    assert all(term["name"] != "added" for term in content["fusion"]["terms"])
    detector, *_, fitted = (100 * m["metrics"]["AP"] for m in content["cross_validation"]["methods"])
    assert detector == pytest.approx(35.82, abs=0.005)
    assert fitted > detector - 0.2
    assert content["verdict"].startswith(("re-scoring does not help", "re-scoring hardly matters"))


def test_five_shots_recover_half_of_what_true_names_give_where_names_mean_nothing(real_data: Path) -> None:
    """As benchmarks/tune.py does it twenty times: shots from half of the photos, AP on the other half."""
    (config,) = (real_data / "clip_standin").glob("*.json")
    weights = real_data / "clip_standin" / "open_clip_model.safetensors"
    source: EncoderSource = find_encoder(DEFAULT_CLIP, weights=weights, config=config)
    encoder = CachedEncoder(
        OpenClipEncoder(source, precision=choose_precision("auto", "cpu")),
        EmbeddingCache(Path(platformdirs.user_cache_dir("risf", appauthor=False))),
    )
    boxes, truth = read_coco_dataset(real_data / "instances.json"), read_ground_truth(real_data / "instances.json")
    nonsense = replace(truth.vocabulary, names=tuple(f"part no. {4711 + label}" for label in range(80)))
    inputs = read_inputs(
        real_data / "detections" / "yolox_nano_weak.json",
        annotations=real_data / "instances.json", images=[real_data / "photos"],
    )  # fmt: skip
    by_names, by_shots = [], []
    for draw in range(3):
        generator = np.random.default_rng(draw)
        order = generator.permutation(len(truth.images))
        allowed = np.isin(boxes.image_positions, order[:32]) & boxes.usable
        drawn = [generator.permutation(np.flatnonzero(allowed & (boxes.labels == label)))[:5] for label in range(80)]
        support = boxes.select(np.sort(np.concatenate(drawn)))
        rest = images_of(truth, np.sort(order[32:]))
        table = inputs.file.detections
        tested = np.isin(table.image_ids, [list(truth.images_by_id)[position] for position in order[32:]])
        table = table[tested & np.isin(table.labels, support.labels)]
        prototypes = make_prototypes(support, photos=inputs.photos, encoder=encoder)
        shared = {"encoder": encoder, "photos": inputs.photos}
        named = rescore(table, vocabulary=truth.vocabulary, **shared)
        shown = rescore(
            table,
            vocabulary=nonsense,
            settings=RescoreSettings(evidence="support"),
            prototypes=prototypes,
            **shared,
        )
        before = mean_ap(table, rest, support.labels)
        by_names.append(mean_ap(named.detections, rest, support.labels) - before)
        by_shots.append(mean_ap(shown.detections, rest, support.labels) - before)
    assert np.mean(by_names) > 0.02
    assert np.mean(by_shots) >= np.mean(by_names) / 2


def mean_ap(detections: Detections, truth: AnnotatedDataset, labels: np.ndarray) -> float:
    """AP over the classes of `labels`."""
    per_class = evaluate(detections, truth).per_class
    values = [per_class[truth.vocabulary.names[label]]["AP"] for label in np.unique(labels).tolist()]
    return float(np.mean([value for value in values if value >= 0]))
