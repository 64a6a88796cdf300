"""`risf predict` as a person runs it: photos in, COCO detections out, one clear line for every fault."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.checkpoint import Checkpoint
from risf_core.detector.checkpoint_writing import write_checkpoint
from risf_core.detector.inputs import batch_of
from risf_core.detector.model import Detector
from risf_core.vocabulary import NOVEL_SETS, VOC_CLASSES, ClassVocabulary
from tests import together
from tests.conftest import Run
from tests.lively import lively_detector, random_photo
from tests.messages import assert_names, error_of

SMALL = ARCHITECTURES["small"]
SIZES = {139: (120, 180), 285: (150, 130), 632: (120, 180), 724: (90, 200)}  # image id -> (height, width)
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}, {"id": 44, "name": "bottle"}]


def small_detector(classes: int = 3) -> Detector:
    return lively_detector(SMALL, classes=classes)


def save(model: Detector, target: Path, *, form="defrcn", vocabulary: ClassVocabulary | None = None) -> Path:
    write_checkpoint(Checkpoint(target, "defrcn", model.state_dict(), SMALL, vocabulary), target, form=form)
    return target


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A folder with four photos, their annotations and a run of the small variant."""
    folder = tmp_path_factory.mktemp("predict")
    (folder / "photos").mkdir()
    images = []
    for image_id, (height, width) in SIZES.items():
        name = f"{image_id:012d}.png"
        Image.fromarray(random_photo((height, width), image_id)).save(folder / "photos" / name)
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
    truth = [{"id": 1, "image_id": 139, "category_id": 18, "bbox": [30, 20, 70, 60], "area": 4200, "iscrowd": 0}]
    (folder / "gt.json").write_text(json.dumps({"images": images, "categories": CATEGORIES, "annotations": truth}))
    save(small_detector(), folder / "run", form="run", vocabulary=ClassVocabulary(("car", "dog", "bottle"), (1, 2, 3)))
    (folder / "names.txt").write_text("car\ndog\nbottle\n")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch) -> Path:
    """An empty working folder in which the template's files can be named."""
    for name in ("photos", "gt.json", "run", "names.txt"):
        (tmp_path / name).symlink_to(template / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(risf: Run, folder: Path):
    """Runs `risf predict` in this process."""

    def call(*arguments: object, weights: object = "run", annotations: object = "gt.json", images: object = "photos"):
        words = ["predict", "--weights", weights, "--images", images, "--device", "cpu", *arguments]
        words += ["--annotations", annotations] if annotations else []
        return risf(*words)

    return call


def rows_by_hand(model: Detector, path: Path) -> list[tuple[int, list[float], float]]:
    """(label, x y w h in the photo's pixels, score) of a photo, the pipeline written out."""
    photo = Image.open(path).convert("RGB")
    scale = min(160 / min(photo.size), 266 / max(photo.size))
    width, height = int(photo.width * scale + 0.5), int(photo.height * scale + 0.5)
    bgr = np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR))[:, :, ::-1]
    pixels = torch.from_numpy(bgr.transpose(2, 0, 1).copy())
    (found,) = model.detect(batch_of([pixels], SMALL.inputs))
    rows = []
    for (x0, y0, x1, y1), score, label in zip(
        found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
    ):
        x, y = x0 * photo.width / width, y0 * photo.height / height
        rows.append((label, [x, y, x1 * photo.width / width - x, y1 * photo.height / height - y], score))
    return rows


def test_rows_are_the_networks_in_dataset_ids_and_the_photos_own_pixels(run, folder) -> None:
    result = run("--out", "new/dets.json")
    assert result.exit_code == 0, result.output
    assert result.stdout == "new/dets.json\n"
    rows = json.loads((folder / "new/dets.json").read_text())
    assert list(dict.fromkeys(row["image_id"] for row in rows)) == list(SIZES)
    category_of_label = [3, 18, 44]  # car, dog, bottle: the run's order, the annotations' ids
    model = small_detector()
    for image_id in SIZES:
        expected = rows_by_hand(model, folder / "photos" / f"{image_id:012d}.png")
        own = [row for row in rows if row["image_id"] == image_id]
        assert len(own) == len(expected) > 10
        for row, (label, box, score) in zip(own, expected, strict=True):
            assert row["category_id"] == category_of_label[label]
            assert row["bbox"] == pytest.approx(box, abs=1e-3)
            assert row["score"] == pytest.approx(score, abs=1e-6)


def test_the_result_is_ready_for_rescore_and_evaluate(risf, run, folder, tiny) -> None:
    assert run("--out", "dets.json").exit_code == 0
    common = ["--annotations", "gt.json"]
    encoder = ["--clip-config", str(tiny[0]), "--clip-weights", str(tiny[1]), "--device", "cpu", "--precision", "fp32"]
    rescored = risf("rescore", "dets.json", *common, "--images", "photos", "--out", "after.json", *encoder)
    assert rescored.exit_code == 0, rescored.output
    evaluated = risf("evaluate", "dets.json", "after.json", *common, "--json")
    assert evaluated.exit_code == 0, evaluated.output
    assert "AP" in evaluated.stdout


def test_without_annotations_ids_are_file_stems_and_categories_the_runs_own(run, folder) -> None:
    (folder / "mine").mkdir()
    for source, name in ((139, "000000000139.png"), (285, "IMG_0285.png")):
        (folder / "mine" / name).write_bytes((folder / "photos" / f"{source:012d}.png").read_bytes())
    result = run("--out", "-", annotations=None, images="mine")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert list(dict.fromkeys(row["image_id"] for row in rows)) == [139, "IMG_0285"]
    assert {row["category_id"] for row in rows} == {1, 2, 3}


def test_score_and_number_are_bounded_as_asked(run) -> None:
    rows = json.loads(run("--out", "-", "--min-score", 0.4, "--max-dets", 5).stdout)
    counts = [sum(row["image_id"] == image_id for row in rows) for image_id in SIZES]
    assert max(counts) == 5
    assert min(row["score"] for row in rows) > 0.4


def test_a_batch_holds_photos_of_one_size_and_changes_no_detection(run, monkeypatch) -> None:
    seen = []
    own = Detector.detect
    monkeypatch.setattr(Detector, "detect", lambda self, batch: seen.append(batch.sizes) or own(self, batch))
    alone, together = (json.loads(run("--out", "-", "--batch-size", size, "--workers", 0).stdout) for size in (1, 4))
    assert [len(sizes) for sizes in seen] == [1, 1, 1, 1, 2, 1, 1]  # 139 and 632 are of one size
    assert list(dict.fromkeys(row["image_id"] for row in together)) == list(SIZES)  # the annotations' order
    for image_id in SIZES:
        a, b = ([numbers_of(row) for row in rows if row["image_id"] == image_id] for rows in (alone, together))
        if image_id not in (139, 632):  # alone in both runs: the very same numbers
            assert a == b
            continue
        # A convolution over two photos adds up in another order: each of the rows has a partner within rounding. Rows
        # whose scores agree within it may swap places, and the rows at the very end of the best 100 may differ.
        distance = np.abs(np.array(a)[:, None] - np.array(b)[None])  # (A, B, 6)
        partner = (distance < [1e-2, 1e-2, 1e-2, 1e-2, 1e-5, 0.5]).all(axis=2)
        certain = np.array(a)[:, 4] > a[-1][4] + 1e-5
        assert certain.sum() >= 20
        assert (partner[certain].sum(axis=1) == 1).all()
        assert np.abs(partner[certain].argmax(axis=1) - np.arange(certain.sum())).max() <= 1


def numbers_of(row: dict) -> list[float]:
    return [*row["bbox"], row["score"], row["category_id"]]


def test_workers_change_no_detection(run) -> None:
    alone = json.loads(run("--out", "-", "--batch-size", 2, "--workers", 0).stdout)
    assert json.loads(run("--out", "-", "--batch-size", 2, "--workers", 2).stdout) == alone
    assert list(dict.fromkeys(row["image_id"] for row in alone)) == list(SIZES)  # the annotations' order


def test_bfloat16_is_near_and_never_chosen_unasked(run) -> None:
    plain = run("--out", "-")
    half = run("--out", "-", "--precision", "bf16")
    assert "fp32 on cpu" in plain.stderr
    assert "bf16 on cpu" in half.stderr
    best, best_half = (max(row["score"] for row in json.loads(result.stdout)) for result in (plain, half))
    assert best_half == pytest.approx(best, abs=0.05)
    assert best_half != best


def test_a_photo_turned_by_its_exif_tag_gives_upright_boxes(run, folder) -> None:
    upright = Image.open(folder / "photos" / "000000000285.png")
    (folder / "turned").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to view
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "turned" / "285.png", exif=exif)
    turned = json.loads(run("--out", "-", annotations=None, images="turned").stdout)
    straight = [row for row in json.loads(run("--out", "-", annotations=None).stdout) if row["image_id"] == 285]
    assert [row["bbox"] for row in turned] == [row["bbox"] for row in straight]


def test_a_summary_is_printed_as_json(run, folder) -> None:
    summary = json.loads(run("--json").stdout)
    assert summary["detections"] == len(json.loads((folder / "detections.json").read_text()))
    assert (summary["photos"], summary["unreadable"], summary["out"]) == (4, {}, "detections.json")
    assert "where the result goes too" in error_of(run("--json", "--out", "-"))


def test_weights_of_the_working_folders_runs_are_found(risf, folder) -> None:
    (folder / "runs").mkdir()
    (folder / "runs" / "fsod").symlink_to(folder / "run")
    words = ["predict", "--images", "photos", "--annotations", "gt.json", "--device", "cpu"]
    result = risf(*words)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("runs/fsod/model_final.pth: small, form run")
    (folder / "runs" / "fsod").unlink()
    assert error_of(risf(*words)).startswith("risf predict needs --weights RUN|FILE")


# --- several processes -------------------------------------------------------------------------------------------


PREDICT = partial(
    together.risf, "predict", "--weights", "run", "--images", "photos", "--annotations", "gt.json", "--device", "cpu"
)


def test_two_processes_write_the_bytes_of_one(run, folder) -> None:
    assert run("--batch-size", 2, "--out", "one.json").exit_code == 0
    job = partial(PREDICT, "--batch-size", 2, "--out", "two.json")
    first, second = together.run_together(job, job, folder=folder)
    assert (first.code, second.code) == (0, 0), first.stderr
    assert first.stdout + second.stdout == "two.json\n"  # said once
    assert (folder / "two.json").read_bytes() == (folder / "one.json").read_bytes()


def test_a_fault_of_another_process_is_reported_by_the_first_and_nothing_is_written(folder) -> None:
    photos = {image_id: (folder / "photos" / f"{image_id:012d}.png").read_bytes() for image_id in SIZES}
    (folder / "photos").unlink()
    (folder / "photos").mkdir()
    photos[285] = b"no image"  # the second photo, and so the second process's
    for image_id, content in photos.items():
        (folder / "photos" / f"{image_id:012d}.png").write_bytes(content)
    job = partial(PREDICT, "--out", "two.json")
    first, second = together.run_together(job, job, folder=folder)
    assert first.code == 1
    assert first.stderr.splitlines()[-1].startswith(
        "error: photos/000000000285.png: is not an image that can be decoded"
    )
    assert "error" not in second.stderr
    assert not (folder / "two.json").exists()


# --- classes -----------------------------------------------------------------------------------------------------


def test_a_bare_checkpoint_takes_its_classes_from_the_annotations_in_ascending_id(run, folder) -> None:
    save(small_detector(), folder / "w.pth")
    run("--out", "bare.json", weights="w.pth")
    own = json.loads((folder / "bare.json").read_text())
    run("--out", "run.json", "--classes", "names.txt", annotations=None)
    named = json.loads((folder / "run.json").read_text())
    of_label = {1: 3, 2: 18, 3: 44}
    assert [row["category_id"] for row in own] == [of_label[row["category_id"]] for row in named]


def test_the_ids_of_a_names_map_are_the_category_ids(run, folder) -> None:
    (folder / "names.yaml").write_text("names: {0: car, 1: dog, 2: bottle}\n")
    result = run("--out", "-", "--classes", "names.yaml", annotations=None)
    assert {row["category_id"] for row in json.loads(result.stdout)} == {0, 1, 2}
    message = error_of(run("--classes", "names.yaml", "--first-id", 1, annotations=None))
    assert message.startswith("--first-id 1: names.yaml states its own ids, from 0 on")


def test_a_voc_checkpoint_counts_base_classes_alphabetically_then_novel_ones(folder, run) -> None:
    categories = [{"id": i, "name": name} for i, name in enumerate(VOC_CLASSES, start=1)]
    document = json.loads((folder / "gt.json").read_text())
    (folder / "voc.json").write_text(json.dumps({**document, "categories": categories, "annotations": []}))
    model = small_detector(20)
    model.roi_heads.box_predictor.cls_score.bias.data[16] += 9  # the second novel class of set 1: bus
    save(model, folder / "voc.pth")
    result = run("--novel", "voc1", "--out", "-", weights="voc.pth", annotations="voc.json")
    assert result.exit_code == 0, result.output
    best = max(json.loads(result.stdout), key=lambda row: row["score"])
    assert sorted(NOVEL_SETS["voc1"])[1] == "bus"
    assert best["category_id"] == VOC_CLASSES.index("bus") + 1


def test_a_checkpoint_of_a_part_of_the_classes_is_recognised_by_its_count(folder, run) -> None:
    save(small_detector(2), folder / "base.pth")
    result = run("--novel", "dog", "--out", "-", weights="base.pth")
    assert {row["category_id"] for row in json.loads(result.stdout)} == {3, 44}
    message = error_of(run(weights="base.pth"))
    assert_names(message, "base.pth", "2", "3", "--novel")
    assert "the classes given are 1 novel" in error_of(run("--novel", "dog", "--group", "novel", weights="base.pth"))


def test_a_class_that_the_annotations_do_not_know_is_named(run, folder) -> None:
    document = json.loads((folder / "gt.json").read_text())
    document["categories"][2]["name"] = "bottles"
    (folder / "other.json").write_text(json.dumps(document))
    assert error_of(run(annotations="other.json")).startswith(
        "the annotations (or --classes) lack 1 of the 3 classes that the detector finds: 'bottle' "
        "(did you mean 'bottles'?)"
    )


def test_a_bare_checkpoint_without_any_class_names_is_refused(run, folder) -> None:
    save(small_detector(), folder / "w.pth")
    from risf_core.detector.checkpoint import METADATA_KEY

    content = torch.load(folder / "w.pth", weights_only=True)
    torch.save({key: value for key, value in content.items() if key != METADATA_KEY}, folder / "w.pth")
    assert_names(error_of(run(weights="w.pth", annotations=None)), "w.pth", "3", "--annotations", "--classes")


# --- photos ------------------------------------------------------------------------------------------------------


def test_an_unreadable_photo_is_named_or_counted(run, folder) -> None:
    (folder / "some").mkdir()
    (folder / "some" / "139.png").write_bytes((folder / "photos" / "000000000139.png").read_bytes())
    (folder / "some" / "7.png").write_bytes(b"not an image")
    arguments = {"annotations": None, "images": "some"}
    assert_names(error_of(run(**arguments)), "some/7.png", "--on-unreadable keep", "continue")
    assert not (folder / "detections.json").exists()
    for more in ((), ("--batch-size", 2)):
        result = run("--on-unreadable", "keep", "--json", *more, **arguments)
        assert result.exit_code == 0, result.output
        summary = json.loads(result.stdout)
        assert summary["photos"] == 1
        assert summary["unreadable"] == {"7": "some/7.png: is not an image that can be decoded; replace the file"}
        assert "1 photo could not be read and were left out:" in result.stderr


def test_images_without_a_photo_are_named_or_counted(run, folder) -> None:
    (folder / "some").mkdir()
    (folder / "some" / "000000000139.png").write_bytes((folder / "photos" / "000000000139.png").read_bytes())
    message = error_of(run(images="some"))
    assert message.startswith("gt.json: 3 of 4 images have no photo in some: image_id 285, 632, 724 (looked for ")
    result = run("--on-unreadable", "keep", "--json", images="some")
    assert json.loads(result.stdout)["without_photo"] == [285, 632, 724]


def test_a_folder_without_photos_is_refused(run, folder) -> None:
    (folder / "empty").mkdir()
    assert error_of(run(annotations=None, images="empty")).startswith("empty: holds no photo")
    assert error_of(run(annotations=None, images="nowhere")) == (
        "nowhere: there is no such folder of images; check --images"
    )


def test_two_photos_of_one_id_are_refused(run, folder) -> None:
    (folder / "some").mkdir()
    for name in ("139.png", "000139.png"):
        (folder / "some" / name).write_bytes((folder / "photos" / "000000000139.png").read_bytes())
    assert "would both be image_id 139" in error_of(run(annotations=None, images="some"))


def test_no_detection_at_all_is_an_empty_list(run) -> None:
    assert json.loads(run("--out", "-", "--min-score", 1).stdout) == []


@pytest.mark.parametrize(
    ("batch_size", "advice"),
    [
        (1, "out of memory on cpu: lower --short-side (now 160), or pass --precision bf16"),
        (4, "out of memory on cpu: lower --batch-size (now 4) or --short-side (now 160), or pass --precision bf16"),
    ],
)
@pytest.mark.parametrize(
    "failure",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_out_of_memory_says_which_setting_to_lower(run, monkeypatch, failure, batch_size, advice) -> None:
    def fail(self, batch):
        raise failure

    monkeypatch.setattr(Detector, "detect", fail)
    assert error_of(run("--batch-size", batch_size)) == advice


def test_a_smaller_short_side_is_what_the_network_sees(run, monkeypatch) -> None:
    seen = []
    own = Detector.detect
    monkeypatch.setattr(Detector, "detect", lambda self, batch: seen.append(batch.sizes[0]) or own(self, batch))
    assert run("--short-side", 80).exit_code == 0
    assert seen == [(80, 120), (92, 80), (80, 120), (60, 133)]  # 133 = 80 x 266 / 160 bounds the last one


@pytest.mark.parametrize("read", ["gt.json", "names.txt", "run/model_final.pth", "run/run.json", "novel.txt"])
def test_detections_are_never_written_over_a_file_that_is_read(run, folder, read) -> None:
    (folder / "novel.txt").write_text("bottle\n")
    before = (folder / read).read_bytes()
    of = {"gt.json": (), "novel.txt": ("--novel", "novel.txt"), "names.txt": ("--classes", "names.txt")}.get(read, ())
    result = run(*of, "--out", read, annotations=None if read == "names.txt" else "gt.json")
    assert error_of(result) == f"--out {read} would overwrite an input; choose another name"
    assert (folder / read).read_bytes() == before


def test_an_output_that_cannot_be_written_is_told_before_the_work(run, folder) -> None:
    result = run("--out", "photos", weights="missing.pth")
    assert error_of(result).startswith("--out photos would overwrite an input")
