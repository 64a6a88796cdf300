"""Encoders of the shots' own: DeFRCN's PCB against a plain loop, and an encoder of timm beside the names' one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torchvision.ops import roi_align

from tests.conftest import Run

CATEGORIES = [{"id": 2, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 9, "name": "cow"}]
SHOTS = {1: (2, [2, 5, 30, 40]), 2: (2, [10, 8, 33, 20]), 3: (7, [42, 5, 30, 40]), 4: (7, [5, 5, 60, 50])}
COW = [3, 4, 50, 30]  # beside the cat of photo 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six photos; a box of a cat or a dog, and one of a cow, in the first four; detections in all."""
    generator = np.random.default_rng(3)
    (tmp_path / "photos").mkdir()
    images, boxes, rows = [], [], []
    for image_id in range(1, 7):
        name = f"{image_id:03d}.png"
        pixels = generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
        images.append({"id": image_id, "file_name": name, "height": 60, "width": 80})
        for category_id in (2, 7, 9):
            drawn = generator.uniform(3, 30, 4).round(2).tolist()
            x, y, width, height = SHOTS[image_id][1] if SHOTS.get(image_id, (0,))[0] == category_id else drawn
            score = round(float(generator.uniform(0.1, 0.9)), 4)
            rows.append(
                {"image_id": image_id, "category_id": category_id, "bbox": [x, y, width, height], "score": score}
            )
    rows.append({"image_id": 6, "category_id": 2, "bbox": [1, 1, 20, 20], "score": 0.05})
    for image_id, (category_id, box) in SHOTS.items():
        boxes.append({"image_id": image_id, "category_id": category_id, "bbox": box})
    boxes.append({"image_id": 1, "category_id": 9, "bbox": COW})
    boxes = [{**box, "id": place + 1, "area": 9.0, "iscrowd": 0} for place, box in enumerate(boxes)]
    shots = {"images": images, "annotations": boxes, "categories": CATEGORIES}
    (tmp_path / "shots.json").write_text(json.dumps(shots))
    (tmp_path / "dets.json").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("resnet") / "resnet101.pth"
    torch.save(torchvision.models.resnet101().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def convnext(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("convnext") / "model.safetensors"
    save_file(timm.create_model("test_convnext").state_dict(), path)
    return path


@pytest.fixture
def run(risf: Run, folder: Path):
    def call(command: str, *arguments: object):
        words = [command, "dets.json", "--annotations", "shots.json", "--images", "photos", "--support", "shots.json"]
        return risf(*words, "--device", "cpu", "--precision", "fp32", *arguments)

    return call


def outputs_of(model: torch.nn.Module, image_id: int, box: list[float]) -> np.ndarray:
    """The classifier's outputs for one box (x, y, width, height), the photo going through the network for it alone."""
    with Image.open(f"photos/{image_id:03d}.png") as photo:
        pixels = torch.tensor(np.asarray(photo) / 255, dtype=torch.float32).permute(2, 0, 1)
    pixels = torchvision.transforms.functional.normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    x, y, width, height = box
    corners = torch.tensor([[x, y, x + width, y + height]], dtype=torch.float32)
    with torch.no_grad():
        features = torch.nn.Sequential(*list(model.children())[:-2])(pixels[None])
        return model.fc(roi_align(features, [corners], 1, 1 / 32, 0, aligned=True)[:, :, 0, 0])[0].double().numpy()


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_pcb_equals_a_plain_loop(run, folder: Path, resnet: Path) -> None:
    done = run("rescore", "--preset", "pcb", "--novel", "cat,dog", "--support-weights", resnet, "--out", "after.json")
    assert done.exit_code == 0, done.output
    model = torchvision.models.resnet101().eval()
    model.load_state_dict(torch.load(resnet))
    shots: dict[int, list[np.ndarray]] = {}
    for image_id, (category_id, box) in SHOTS.items():
        shots.setdefault(category_id, []).append(outputs_of(model, image_id, box))
    after = json.loads((folder / "after.json").read_text())
    changed = 0
    for row, before in zip(after, json.loads((folder / "dets.json").read_text()), strict=True):
        expected = before["score"]
        if before["category_id"] != 9 and before["score"] > 0.05:  # cows are not novel
            features = outputs_of(model, before["image_id"], before["bbox"])
            prototype = sum(shots[before["category_id"]]) / 2  # also where one of the two is of this very photo
            expected = 0.5 * expected + 0.5 * cosine(features, prototype)
            changed += 1
        assert row["score"] == pytest.approx(expected, abs=1e-6)
    assert changed == 12
    record = json.loads((folder / "after.json.record.json").read_text())
    assert record["encoder"]["model"] == "torchvision:resnet101"  # CLIP's weights are not here: nobody asked for them
    assert record["support_encoder"] is None
    assert record["settings"]["support_score"] == "cosine"


def test_typed_options_win_over_the_preset_and_no_novel_classes_mean_all(run, folder: Path, resnet: Path) -> None:
    words = ["--preset", "pcb", "--support-weights", resnet, "--out", "after.json"]
    assert run("rescore", *words, "--alpha", "0.9").exit_code == 0
    settings = json.loads((folder / "after.json.record.json").read_text())["settings"]
    assert (settings["alpha"], settings["evidence"], settings["rescore_classes"]) == (0.9, "support", "all")
    rows = json.loads((folder / "after.json").read_text())
    cows = [row for row in rows if row["category_id"] == 9 and "score_support" in row]
    assert len(cows) == 6
    for row in cows:
        assert row["score"] == pytest.approx(0.9 * row["score_detector"] + 0.1 * row["score_support"], abs=1e-12)


def test_names_and_shots_may_have_an_encoder_each(run, folder: Path, tiny: tuple[Path, Path], convnext: Path) -> None:
    names = ["--clip-config", tiny[0], "--clip-weights", tiny[1]]
    shots = ["--support-encoder", "timm:test_convnext", "--support-weights", convnext]
    assert run("rescore", *shots, "--evidence", "support", "--out", "by-shots.json").exit_code == 0  # CLIP is not here
    assert run("rescore", *names, *shots, "--out", "both.json").exit_code == 0
    by_both, by_shots = (json.loads((folder / name).read_text()) for name in ("both.json", "by-shots.json"))
    for row, alone in zip(by_both[:-1], by_shots[:-1], strict=True):
        assert row.get("score_support") == alone.get("score_support")
        if "score_support" not in row:  # the only cow among the shots is of the photo that is asked about
            assert (row["image_id"], row["category_id"]) == (1, 9)
            continue
        mean = (row["score_clip"] + row["score_support"]) / 2
        assert row["score"] == pytest.approx(0.7 * row["score_detector"] + 0.3 * mean, abs=1e-12)
    talk = run("rescore", *names, *shots, "--out", "again.json").stderr
    assert f"support encoder timm:test_convnext ({convnext}), fp32 on cpu, licence of its published weights: " in talk
    record = json.loads((folder / "both.json.record.json").read_text())
    assert record["support_encoder"]["model"] == "timm:test_convnext"
    assert record["encoder"]["model"] != record["support_encoder"]["model"]
    assert record["support"]["crops"] == 5


def test_both_encoders_are_cached_and_both_are_conditions_of_a_fit(
    run, folder: Path, tiny: tuple[Path, Path], convnext: Path
) -> None:
    words = ["--clip-config", tiny[0], "--clip-weights", tiny[1], "--cache", "cache"]
    shots = ["--support-encoder", "timm:test_convnext", "--support-weights", convnext]
    assert run("rescore", *words, *shots, "--out", "first.json").exit_code == 0
    assert run("rescore", *words, *shots, "--out", "again.json").exit_code == 0
    counts = json.loads((folder / "again.json.record.json").read_text())["counts"]
    assert counts["from_cache"] == 2 * counts["unique_crops"]
    assert (folder / "again.json").read_bytes() == (folder / "first.json").read_bytes()

    done = run("tune", *words, *shots, "--bootstrap", 0, "--exhaustive", "-q")
    assert done.exit_code == 0, done.output
    stated = json.loads((folder / "fusion.json").read_text())["conditions"]["support encoder"]
    assert stated["model"] == "timm:test_convnext"
    done = run("rescore", *words, "--fusion", "fusion.json", "--out", "after.json", "-q")
    assert done.exit_code == 1
    assert "was fitted with another support encoder" in done.stderr
    assert "pass --support-encoder and --support-weights as they were" in done.stderr


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["--support-encoder", "dinov2"],
            ["--support-encoder dinov2 is unknown", "timm:NAME", "torchvision:resnet101"],
        ),
        (["--support-weights", "w.pth"], ["--support-weights w.pth needs --support-encoder"]),
        (["--preset", "pcb", "--fusion", "fusion.json"], ["--support-score cosine is part of the formula"]),
        (
            ["--evidence", "support", "--support-encoder", "timm:test_convnex"],
            ["no model 'test_convnex'", "test_convnext"],
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(run, folder: Path, words: list[str], parts: list[str]) -> None:
    (folder / "fusion.json").write_text("{}")
    done = run("rescore", *words, "--out", "after.json", "-q")
    assert done.exit_code == 1, done.output
    for part in parts:
        assert part in done.stderr
