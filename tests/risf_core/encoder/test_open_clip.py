"""open_clip's encoder: equal to a plain loop, whatever the workers and batches; it says what is wrong with weights."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from risf_core.detections import Detections
from risf_core.encoder import preprocessing
from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.protocol import ImageCrops
from risf_core.encoder.weights import find_encoder
from risf_core.errors import ConfigError, EncoderError, ImageError
from risf_core.images import upright_size
from risf_core.photos import Photo
from risf_core.rescore.pipeline import rescore
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names
from tests.tiny_encoder import TINY, save_tiny

MEAN = np.array(open_clip.OPENAI_DATASET_MEAN)
STD = np.array(open_clip.OPENAI_DATASET_STD)


def crops_of(photos: list[Path], counts: list[int], seed: int = 0) -> list[ImageCrops]:
    rng = np.random.default_rng(seed)
    jobs = []
    for path, count in zip(photos, counts, strict=True):
        height, width = upright_size(path)
        corner = rng.uniform(0, 0.5, (count, 2)) * (width, height)
        side = rng.uniform(0.1, 0.5, (count, 2)) * (width, height)
        jobs.append(ImageCrops(Photo(path), np.concatenate([corner, corner + side], axis=1)))
    return jobs


def make(tiny: tuple[Path, Path], **options) -> OpenClipEncoder:
    return OpenClipEncoder(find_encoder(config=tiny[0], weights=tiny[1]), **options)


def plain_loop(tiny: tuple[Path, Path], jobs: list[ImageCrops]) -> list[np.ndarray]:
    """One crop at a time through the model as open_clip makes it."""
    model = open_clip.create_model(tiny[0].stem, pretrained=str(tiny[1])).eval()
    found = []
    for job in jobs:
        rows = []
        for box in job.boxes:
            with Image.open(job.photo.path) as photo:
                crop = photo.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC, box=tuple(box))
            pixels = ((np.asarray(crop) / 255 - MEAN) / STD).transpose(2, 0, 1)
            with torch.no_grad():
                rows.append(model.encode_image(torch.tensor(pixels[None], dtype=torch.float32), normalize=True)[0])
        found.append(torch.stack(rows).numpy())
    return found


def test_embeddings_equal_a_plain_loop_over_boxes(tiny, photos):
    jobs = crops_of(photos, [3, 1, 4, 2, 5])
    for found, expected in zip(make(tiny).encode_crops(jobs), plain_loop(tiny, jobs), strict=True):
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_embeddings_do_not_depend_on_workers_or_batch_size(tiny, photos, workers, batch_size):
    jobs = crops_of(photos, [9, 0, 1, 13, 4])
    reference = list(make(tiny, workers=0, batch_size=64).encode_crops(jobs))
    found = list(make(tiny, workers=workers, batch_size=batch_size).encode_crops(jobs))
    assert [rows.shape for rows in found] == [(9, 16), (0, 16), (1, 16), (13, 16), (4, 16)]
    for rows, expected in zip(found, reference, strict=True):
        assert rows == pytest.approx(expected, abs=1e-5)


def test_the_same_settings_give_the_same_bytes_with_any_number_of_workers(tiny, photos):
    jobs = crops_of(photos, [9, 2, 1, 13, 4])
    first, second = (
        [rows.tobytes() for rows in make(tiny, workers=workers, batch_size=8).encode_crops(jobs)] for workers in (0, 3)
    )
    assert first == second


def test_crops_of_many_photos_share_a_batch(tiny, photos, monkeypatch):
    sizes = []
    encoder = make(tiny, batch_size=8)
    forward = encoder._forward
    monkeypatch.setattr(encoder, "_forward", lambda crops: sizes.append(len(crops)) or forward(crops))
    list(encoder.encode_crops(crops_of(photos, [3, 3, 3, 3, 8])))
    assert sizes == [8, 8, 4]


def test_the_released_form_takes_one_image_a_batch_and_blue_first(tiny, photos, monkeypatch):
    seen = []
    encoder = make(tiny, compat_released=True)
    forward = encoder._forward
    monkeypatch.setattr(encoder, "_forward", lambda crops: seen.append(crops) or forward(crops))
    list(encoder.encode_crops(crops_of(photos, [3, 2, 1, 4, 2])))
    assert [len(crops) for crops in seen] == [3, 2, 1, 4, 2]
    assert all(crops.dtype == torch.float32 and crops.min() >= 0 and crops.max() <= 1 for crops in seen)
    assert encoder.preprocessing.crop == "released"


def test_few_photos_are_decoded_ahead_of_the_encoder(tiny, photos, monkeypatch):
    lock, decoded, encoded, most_ahead = threading.Lock(), 0, 0, 0
    decode = preprocessing.decode_rgb

    def counted(*arguments):
        nonlocal decoded, most_ahead
        with lock:
            decoded += 1
            most_ahead = max(most_ahead, decoded - encoded)
        return decode(*arguments)

    monkeypatch.setattr(preprocessing, "decode_rgb", counted)
    jobs = crops_of(photos * 40, [2] * 200)
    for _ in make(tiny, batch_size=4, workers=2).encode_crops(jobs):
        encoded += 1
    assert decoded == 200
    assert most_ahead <= 16  # two batches of crops wait, one is laid out, one runs


def test_an_unreadable_photo_ends_the_run_with_its_name(tiny, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff nothing")
    jobs = [*crops_of(photos[:1], [2]), ImageCrops(Photo(bad), np.array([[0.0, 0, 4, 4]]))]
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        list(make(tiny).encode_crops(jobs))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near_single(tiny, photos, precision):
    jobs = crops_of(photos, [3, 1, 4, 2, 5])
    for half, single in zip(make(tiny, precision=precision).encode_crops(jobs), plain_loop(tiny, jobs), strict=True):
        assert (half * single).sum(axis=1) == pytest.approx(1, abs=2e-3)


def test_texts_equal_open_clips_own_embeddings(tiny):
    texts = ["a photo of cat", "a photo of background"]
    model = open_clip.create_model(tiny[0].stem, pretrained=str(tiny[1])).eval()
    with torch.no_grad():
        expected = model.encode_text(open_clip.tokenize(texts, context_length=20), normalize=True).numpy()
    assert make(tiny).encode_texts(texts) == pytest.approx(expected, abs=1e-6)


def test_a_prompt_over_the_encoders_length_is_refused(tiny):
    with pytest.raises(EncoderError) as caught:
        make(tiny).encode_texts(["a cat", "cat " * 19])
    assert_names(str(caught.value), f"{'cat ' * 19!r}", "21", "20", "`template`", "`alias`")


def test_the_key_changes_with_everything_that_changes_embeddings(tiny, tmp_path):
    other = save_tiny(tmp_path, "tiny-clip", TINY, seed=1)
    (tmp_path / "quick").mkdir()
    quick = tmp_path / "quick" / "tiny-clip.json"  # the same name and weights, another activation
    quick.write_text(json.dumps({**TINY, "quick_gelu": True}))
    keys = {
        make(tiny).key,
        make(tiny, precision="bf16").key,
        make(tiny, crop="pad").key,
        make(tiny, crop="context").key,
        make(tiny, compat_released=True).key,
        make(other).key,
        make((quick, tiny[1])).key,
    }
    assert len(keys) == 7


def test_the_key_does_not_change_with_what_does_not_and_builds_no_model(tiny, monkeypatch):
    monkeypatch.setattr("risf_core.encoder.open_clip.build_model", lambda source: pytest.fail("a model was built"))
    assert make(tiny).key == make(tiny, workers=3, batch_size=5).key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be 1 or more, got 0"),
        ({"workers": -1}, "`workers` must be 0 or more, got -1"),
        (
            {"compat_released": True, "crop": "pad"},
            "`compat=released` cuts crops in its own way; leave out `crop=pad`",
        ),
    ],
)
def test_impossible_settings_are_refused(tiny, options, message):
    with pytest.raises(ConfigError) as caught:
        make(tiny, **options)
    assert str(caught.value) == message


def test_weights_of_another_architecture_are_refused(tiny, tmp_path):
    wider = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "layers": 2}}
    config, _ = save_tiny(tmp_path, "wider", wider)
    with pytest.raises(EncoderError) as caught:
        make((config, tiny[1])).encode_texts(["cat"])
    assert_names(
        str(caught.value), tiny[1], "visual.transformer.resblocks.1.ln_1.weight", "11", "`clip`", "`clip_config`"
    )


def test_weights_with_missing_parts_are_refused(tiny, tmp_path):
    state = load_file(tiny[1])
    del state["visual.proj"]
    save_file(state, tmp_path / "partial.safetensors")
    with pytest.raises(EncoderError) as caught:
        make((tiny[0], tmp_path / "partial.safetensors")).encode_texts(["cat"])
    assert_names(str(caught.value), tmp_path / "partial.safetensors", "visual.proj", "`clip`", "`clip_config`")


def test_weights_of_another_input_size_are_not_stretched(tiny, tmp_path):
    larger = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "image_size": 64}}
    config, _ = save_tiny(tmp_path, "larger", larger)
    with pytest.raises(EncoderError) as caught:
        make((config, tiny[1])).encode_texts(["cat"])
    assert_names(str(caught.value), tiny[1], "visual.positional_embedding", "5", "32", "17", "`clip`", "`clip_config`")


def test_weights_of_another_text_length_are_not_stretched(tiny, tmp_path):
    longer = {**TINY, "text_cfg": {**TINY["text_cfg"], "context_length": 77}}
    config, _ = save_tiny(tmp_path, "longer", longer)
    torch.save(load_file(tiny[1]), tmp_path / "tiny.pt")
    for weights in (tiny[1], tmp_path / "tiny.pt"):
        with pytest.raises(EncoderError) as caught:
            make((config, weights)).encode_texts(["cat"])
        assert_names(str(caught.value), weights, "20", "32", "77", "`clip`", "`clip_config`")


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt"])
def test_damaged_weights_are_named(tiny, tmp_path, name):
    path = tmp_path / name
    if name.endswith(".pt"):
        torch.save(load_file(tiny[1]), path)
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.write_bytes(tiny[1].read_bytes()[:5000])
    with pytest.raises(EncoderError) as caught:
        make((tiny[0], path)).encode_texts(["cat"])
    assert str(caught.value).startswith(f"{path}: cannot be read as weights (")
    assert str(caught.value).endswith("; pass a file of weights (safetensors, pt), or fetch it again")


def test_weights_as_pt_give_the_same_embeddings(tiny, tmp_path):
    torch.save({"state_dict": load_file(tiny[1])}, tmp_path / "tiny.pt")
    first = make(tiny).encode_texts(["cat"])
    assert np.array_equal(make((tiny[0], tmp_path / "tiny.pt")).encode_texts(["cat"]), first)


def test_preprocessing_stated_in_a_config_is_used(tiny, tmp_path):
    content = {
        "model_cfg": TINY,
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear"},
    }
    config = tmp_path / "stated.json"
    config.write_text(json.dumps(content))
    stated = make((config, tiny[1])).preprocessing
    assert (stated.mean, stated.std, stated.interpolation) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")
    assert stated.side == 32


def test_scores_do_not_depend_on_workers_or_batch_size(tiny, photos):
    vocabulary = ClassVocabulary.from_names(["cat", "dog"])
    jobs = crops_of(photos, [9, 2, 1, 13, 4])
    found = dict(enumerate(Photo(path) for path in photos))
    boxes = [box for job in jobs for box in np.concatenate([job.boxes[:, :2], job.boxes[:, 2:] - job.boxes[:, :2]], 1)]
    ids = [number for number, job in enumerate(jobs) for _ in job.boxes]
    table = Detections.from_rows(ids, boxes, [0.5] * len(ids), [number % 2 for number in range(len(ids))])
    runs = [
        rescore(
            table, vocabulary=vocabulary, encoder=make(tiny, workers=w, batch_size=b), photos=found
        ).detections.scores
        for w, b in ((0, 1), (2, 7), (3, 64))
    ]
    assert runs[1] == pytest.approx(runs[0], abs=1e-5)
    assert runs[2] == pytest.approx(runs[0], abs=1e-5)
