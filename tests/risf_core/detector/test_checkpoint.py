"""Weights in every form people have them: read under the network's names, written back bit for bit, or refused."""

from __future__ import annotations

import os
import pickle
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from risf_core.choices import CHECKPOINT_FORMS
from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.checkpoint import Checkpoint, read_checkpoint
from risf_core.detector.checkpoint_names import AFFINES
from risf_core.detector.checkpoint_writing import write_checkpoint
from risf_core.detector.model import build_detector
from risf_core.detector.runs import RunDescription, write_run
from risf_core.detector.weights import detector_of, load_weights
from risf_core.errors import CheckpointError
from risf_core.heads import BOX_BIAS, BOX_WEIGHT, CLASS_BIAS, CLASS_WEIGHT, drop_head, extend_head
from risf_core.vocabulary import COCO_NOVEL, ClassVocabulary
from tests.messages import assert_names

SMALL = ARCHITECTURES["small"]
NAMES = ClassVocabulary(("cat", "dog"), (3, 17), frozenset({"dog"}))


def random_state(architecture=SMALL, *, classes: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    """A whole detector's state in which every number is drawn, norms and affines too."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in build_detector(architecture, class_count=classes).state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(shape, generator=generator) + 0.1 for name, shape in shapes.items()}


def plain_state(**keywords) -> dict[str, torch.Tensor]:
    """As `random_state`, with norms of scale and shift alone and affines that do nothing."""
    state = random_state(**keywords)
    for name, value in state.items():
        if name.endswith("running_mean") or name in ("affine_rpn.bias", "affine_rcnn.bias"):
            value.zero_()
        elif name.endswith("running_var") or name.startswith("affine"):
            value.fill_(1.0)
    return state


def caffe2_names(blocks: tuple[int, ...]) -> dict[str, str]:
    """Caffe2's name -> ours, written out by the rule of FACTS 4."""
    names = {
        "conv1_w": "backbone.stem.conv1.weight",
        "res_conv1_bn_s": "backbone.stem.conv1.norm.weight",
        "res_conv1_bn_b": "backbone.stem.conv1.norm.bias",
    }
    for stage, count in enumerate(blocks, start=2):
        place = "roi_heads.res5" if stage == 5 else f"backbone.res{stage}"
        for block in range(count):
            for branch, layer in (("1", "shortcut"), ("2a", "conv1"), ("2b", "conv2"), ("2c", "conv3")):
                if branch == "1" and block > 0:
                    continue
                theirs, ours = f"res{stage}_{block}_branch{branch}", f"{place}.{block}.{layer}"
                names[f"{theirs}_w"] = f"{ours}.weight"
                names[f"{theirs}_bn_s"] = f"{ours}.norm.weight"
                names[f"{theirs}_bn_b"] = f"{ours}.norm.bias"
    return names


def save_pickle(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def same_bits(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        (a[k].dtype, a[k].shape) == (b[k].dtype, b[k].shape)
        and torch.equal(a[k].contiguous().view(torch.uint8), b[k].contiguous().view(torch.uint8))
        for k in a
    )


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A made R-101 base checkpoint of 60 classes in the published form, with an old file's anchors in it."""
    state = random_state(ARCHITECTURES["r101"], classes=60)
    rows = torch.arange(60, dtype=torch.float32) + 1
    state[CLASS_WEIGHT][:60] = rows[:, None]
    state[CLASS_WEIGHT][60] = 1000
    state[CLASS_BIAS] = torch.cat([rows, torch.tensor([1000.0])]) + 0.5
    state[BOX_WEIGHT] = (rows.repeat_interleave(4) * 10 + torch.arange(4).repeat(60))[:, None].repeat(1, 2048)
    state[BOX_BIAS] = rows.repeat_interleave(4) * 10 + torch.arange(4).repeat(60) + 0.5
    path = tmp_path_factory.mktemp("published") / "model_final.pth"
    anchors = {"proposal_generator.anchor_generator.cell_anchors.0": torch.zeros(15, 4)}
    torch.save({"model": {**state, **anchors}, "iteration": 109999, "optimizer": {"state": {}}}, path)
    return path, state


def test_a_published_r101_checkpoint_loads_whole(published) -> None:
    path, state = published
    checkpoint = read_checkpoint(path)
    assert (checkpoint.form, checkpoint.class_count, checkpoint.vocabulary) == ("defrcn", 60, None)
    assert checkpoint.architecture == ARCHITECTURES["r101"]
    model, report = detector_of(checkpoint)
    assert same_bits(model.state_dict(), state)
    assert (len(report.loaded), report.missing, report.reshaped, report.implied) == (len(state), (), (), ())
    assert set(report.unexpected) == {
        "proposal_generator.anchor_generator.cell_anchors.0", "iteration", "optimizer",
    }  # fmt: skip


def test_surgery_on_a_published_checkpoint_places_every_row_bias_and_box_block_by_its_class_name(published) -> None:
    path, _ = published
    state = read_checkpoint(path).state
    base = [f"base {i}" for i in range(60)]
    everything = sorted([*base, *COCO_NOVEL], key=lambda name: (sum(map(ord, name)) % 7, name))  # strewn
    generator = torch.Generator().manual_seed(0)
    after = extend_head(state, old=base, new=everything, generator=generator)
    model = build_detector(ARCHITECTURES["r101"], class_count=80)
    model.load_state_dict(after)
    head = model.roi_heads.box_predictor
    for place, name in enumerate(everything):
        if name in base:
            own = base.index(name) + 1
            assert (head.cls_score.weight[place] == own).all()
            assert head.cls_score.bias[place] == own + 0.5
            assert head.bbox_pred.weight[4 * place : 4 * place + 4, 7].tolist() == [
                own * 10 + side for side in range(4)
            ]
            assert head.bbox_pred.bias[4 * place + 3] == own * 10 + 3.5
        else:
            assert head.cls_score.weight[place].abs().max() < 0.1
            assert head.cls_score.bias[place] == 0
    assert (head.cls_score.weight[80] == 1000).all()
    dropped = drop_head(state, class_count=20, generator=generator)
    build_detector(ARCHITECTURES["r101"], class_count=20).load_state_dict(dropped)


def test_an_msra_pickle_fills_backbone_and_res5_under_caffe2s_names(tmp_path) -> None:
    state, names = plain_state(), caffe2_names((1, 1, 1, 1))
    arrays = {theirs: state[ours].numpy() for theirs, ours in names.items()}
    path = save_pickle(tmp_path / "R.pkl", {**arrays, "fc1000_w": np.ones((3, 2)), "conv1_b": np.ones(2)})
    checkpoint = read_checkpoint(path)
    assert (checkpoint.form, checkpoint.class_count) == ("msra", None)
    assert set(checkpoint.left_out) == {"fc1000_w", "conv1_b"}
    model = build_detector(SMALL, class_count=2)
    report = load_weights(model, checkpoint, require="backbone")
    for name, value in model.state_dict().items():
        if name.startswith(("backbone.", "roi_heads.res5.")):
            assert torch.equal(value, state[name]), name
    assert set(report.missing) == {
        name for name in state if not name.startswith(("backbone.", "roi_heads.res5."))
    }  # the RPN, the predictor and the affines start afresh


def test_an_array_pickled_by_python_2_is_read(tmp_path) -> None:
    values = struct.pack("<2f", 1.0039371, -2.5)  # bytes above 127 among them
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01K\x02\x85cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08" + values + b"tb"
    )
    path = tmp_path / "py2.pkl"
    path.write_bytes(b"\x80\x02}(U\x0eres_conv1_bn_s" + array + b"U\x07conv1_w" + array + b"u.")
    from risf_core.detector.pickles import load_torch_or_pickle

    content = load_torch_or_pickle(path)
    assert content["res_conv1_bn_s"].tolist() == [np.float32(1.0039371), -2.5]


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_a_detectron2_coco_model_gets_identity_affines_and_pools_to_14(tmp_path, suffix) -> None:
    state = {name: value for name, value in plain_state(classes=80).items() if name not in AFFINES}
    path = tmp_path / f"model_final_721ade{suffix}"
    if suffix == ".pkl":
        save_pickle(path, {"model": {k: v.numpy() for k, v in state.items()}, "__author__": "Detectron2 Model Zoo"})
    else:
        torch.save({"model": state}, path)
    checkpoint = read_checkpoint(path)
    assert (checkpoint.form, checkpoint.class_count, checkpoint.architecture.pooler_resolution) == (
        "detectron2",
        80,
        14,
    )
    model, report = detector_of(checkpoint)
    assert same_bits({k: v for k, v in model.state_dict().items() if k not in AFFINES}, state)
    assert report.implied == AFFINES
    features = torch.rand(1, SMALL.feature_channels, 2, 2)
    assert torch.equal(model.affine_rpn(features), features)
    assert torch.equal(model.affine_rcnn(features), features)


def test_a_state_dict_saved_from_distributed_training_loses_its_prefix(tmp_path) -> None:
    state = random_state()
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "ddp.pth")
    assert same_bits(dict(read_checkpoint(tmp_path / "ddp.pth").state), state)


def test_a_torch_file_with_numpy_arrays_and_a_counter_is_read_without_trust(tmp_path) -> None:
    state = random_state()
    arrays = {name: value.numpy() if "res2" in name else value for name, value in state.items()}
    torch.save({"model": arrays, "scheduler": {"milestones": Counter([85000])}}, tmp_path / "mixed.pth")
    checkpoint = read_checkpoint(tmp_path / "mixed.pth")
    assert same_bits(dict(checkpoint.state), state)
    assert checkpoint.left_out == ("scheduler",)


def test_a_run_folder_names_its_architecture_and_classes(tmp_path) -> None:
    architecture = replace(SMALL, pooler_resolution=5, anchor_sizes=(20, 40, 80, 160))
    state = random_state()
    write_run(tmp_path / "run", RunDescription(architecture, NAMES), more={"stage": "few-shot"})
    torch.save({"model": state, "optimizer": {}}, tmp_path / "run" / "model_best.pth")
    for path in (tmp_path / "run", tmp_path / "run" / "model_best.pth"):
        checkpoint = read_checkpoint(path)
        assert (checkpoint.architecture, checkpoint.vocabulary) == (architecture, NAMES)
        assert checkpoint.source.name == "model_best.pth"
    torch.save({"model": random_state(seed=1)}, tmp_path / "run" / "model_final.pth")
    assert read_checkpoint(tmp_path / "run").source.name == "model_final.pth"  # the last beats the best


# --- writing and round trips -------------------------------------------------------------------------------------

TARGETS = {"defrcn": "w.pth", "detectron2": "w.pkl", "safetensors": "w.safetensors", "run": "run", "msra": "m.pkl"}


def checkpoint_of(state: dict[str, torch.Tensor], source: Path = Path("made.pth")) -> Checkpoint:
    return Checkpoint(source, "defrcn", state, replace(SMALL, pooler_resolution=14), NAMES)


@pytest.mark.parametrize("first", ["defrcn", "detectron2", "safetensors", "run"])
@pytest.mark.parametrize("second", ["defrcn", "detectron2", "safetensors", "run"])
def test_any_form_turns_into_any_other_and_back_bit_for_bit(tmp_path, first, second) -> None:
    state = plain_state()
    state["backbone.stem.conv1.weight"][0, 0, 0, :3] = torch.tensor([float("nan"), -0.0, 1e-45])  # bits, not values
    write_checkpoint(checkpoint_of(state), tmp_path / "a" / TARGETS[first], form=first)
    once = read_checkpoint(tmp_path / "a" / TARGETS[first])
    write_checkpoint(once, tmp_path / "b" / TARGETS[second], form=second)
    twice = read_checkpoint(tmp_path / "b" / TARGETS[second])
    assert (once.form, twice.form) == (first, second)
    for checkpoint in (once, twice):
        assert same_bits(dict(checkpoint.state), state)
        assert (checkpoint.architecture, checkpoint.vocabulary) == (replace(SMALL, pooler_resolution=14), NAMES)


@pytest.mark.parametrize("through", ["defrcn", "safetensors", "run"])
def test_imagenet_weights_survive_the_way_through_every_form_that_can_hold_them(tmp_path, through) -> None:
    state, names = plain_state(), caffe2_names((1, 1, 1, 1))
    arrays = {theirs: state[ours].numpy() for theirs, ours in names.items()}
    start = read_checkpoint(save_pickle(tmp_path / "R.pkl", arrays))
    write_checkpoint(start, tmp_path / TARGETS[through], form=through)
    written = write_checkpoint(read_checkpoint(tmp_path / TARGETS[through]), tmp_path / "back.pkl", form="msra")
    assert (written.left_out, written.folded) == ((), ())
    back = pickle.loads((tmp_path / "back.pkl").read_bytes())
    assert back.keys() == arrays.keys()
    assert all(back[name].tobytes() == arrays[name].tobytes() for name in arrays)


def test_a_detector_written_as_msra_says_what_has_no_place_there_and_folds_its_norms(tmp_path) -> None:
    state = random_state()
    written = write_checkpoint(checkpoint_of(state), tmp_path / "m.pkl", form="msra")
    assert set(written.left_out) == {name for name in state if not name.startswith(("backbone.", "roi_heads.res5."))}
    assert len(written.folded) == 17  # every norm of the stem and of four blocks with shortcut
    model, image = build_detector(SMALL, class_count=2), torch.randn(1, 3, 64, 64)
    model.load_state_dict(state)
    expected = model.backbone(image)
    load_weights(model, read_checkpoint(tmp_path / "m.pkl"), require="backbone")
    torch.testing.assert_close(model.backbone(image), expected, rtol=1e-6, atol=1e-6 * expected.abs().max().item())


def test_trained_affines_are_not_written_where_they_would_be_lost(tmp_path) -> None:
    with pytest.raises(CheckpointError) as caught:
        write_checkpoint(checkpoint_of(random_state()), tmp_path / "w.pkl", form="detectron2")
    assert_names(str(caught.value), "made.pth", "`to=defrcn`", "safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_forms_are_those_that_the_commands_offer() -> None:
    assert set(CHECKPOINT_FORMS) == {*TARGETS, "timm"}  # which is of timm's networks


# --- what is refused ---------------------------------------------------------------------------------------------


class Malicious:
    """A pickle that runs a command when it is opened."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(tmp_path, suffix) -> None:
    path, marker = tmp_path / f"trojan{suffix}", tmp_path / "it-ran"
    content = {"model": {"backbone.stem.conv1.weight": np.ones(2)}, "callback": Malicious(marker)}
    if suffix == ".pkl":
        save_pickle(path, content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert not marker.exists()
    message = str(caught.value)
    assert message.startswith(f"{path}: holds more than arrays: it wants to use ")
    assert message.endswith("if you trust where it comes from, pass `allow_pickle`")
    assert "posix.mkdir" in message or "nt.mkdir" in message
    with pytest.raises(CheckpointError, match="holds"):  # trusted: it runs, and is no checkpoint of ours all the same
        read_checkpoint(path, allow_pickle=True)
    assert marker.exists()


@pytest.mark.parametrize("form", ["defrcn", "detectron2", "safetensors"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_truncated_file_is_named_as_such(tmp_path, form, share) -> None:
    path = tmp_path / TARGETS[form]
    write_checkpoint(checkpoint_of(plain_state()), path, form=form)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: is cut short or damaged (")
    assert "\n" not in str(caught.value)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    return str(caught.value)


def test_files_that_are_no_checkpoint_are_told_apart(tmp_path) -> None:
    assert refusal(tmp_path / "no.pth") == f"{tmp_path / 'no.pth'}: there is no such checkpoint; check the path"
    (tmp_path / "page.pth").write_text("<html>sign in</html>")
    assert "is a web page, not the file itself" in refusal(tmp_path / "page.pth")
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty").endswith("(it has no run.json); name a run or a file of weights")
    write_run(tmp_path / "begun", RunDescription(SMALL, NAMES))
    assert "the run has no weights yet" in refusal(tmp_path / "begun")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "holds list, not named arrays" in refusal(tmp_path / "list.pth")
    torch.save({"model": {"encoder.weight": torch.ones(1)}}, tmp_path / "vit.pth")
    assert "holds no backbone of this network (its arrays: encoder.weight)" in refusal(tmp_path / "vit.pth")


@pytest.mark.parametrize(
    ("nested", "prefix"),
    [
        (("state_dict",), ""),
        (("model_state_dict",), "module."),
        (("model_ema",), ""),
        (("model", "state_dict"), ""),
        (("epoch-weights",), "_orig_mod."),
        ((), "module._orig_mod."),
        (("model",), "modelTeacher."),
        (("state_dict",), "model.detector."),
    ],
)
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_what_trainers_wrap_around_a_network_is_taken_off(tmp_path, nested, prefix, form) -> None:
    state = random_state()
    content: dict = {f"{prefix}{name}": value for name, value in state.items()}
    if prefix == "modelTeacher.":
        content |= {f"modelStudent.{name}": value + 1 for name, value in state.items()}
    for key in reversed(nested):
        content = {"optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}}, key: content, "epoch": 3}
    if form == "torch":
        torch.save(content, path := tmp_path / "w.pth")
    else:
        path = save_pickle(tmp_path / "w.pkl", as_arrays(content))
    assert same_bits(dict(read_checkpoint(path).state), state)


def as_arrays(content: dict) -> dict:
    """With numpy arrays for tensors."""
    return {
        key: as_arrays(value)
        if isinstance(value, dict)
        else value.numpy()
        if isinstance(value, torch.Tensor)
        else value
        for key, value in content.items()
    }


def test_averaged_weights_are_taken_where_no_others_are(tmp_path) -> None:
    own, averaged = random_state(seed=1), random_state(seed=2)
    torch.save({"model_ema": averaged, "model": own}, tmp_path / "both.pth")
    assert same_bits(dict(read_checkpoint(tmp_path / "both.pth").state), own)
    torch.save({"ema": averaged, "model": None}, tmp_path / "ema.pth")
    assert same_bits(dict(read_checkpoint(tmp_path / "ema.pth").state), averaged)


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("backbone.fpn_lateral2.weight", "feature pyramid (FPN)"),
        ("backbone.bottom_up.res2.0.conv1.weight", "feature pyramid (FPN)"),
        ("backbone.body.layer1.0.conv1.weight", "feature pyramid (FPN)"),
        ("backbone.layer1.0.conv1.weight", "mmdetection"),
        ("vision_model.encoder.layers.0.mlp.fc1.weight", "transformers' CLIP"),
        ("visual.transformer.resblocks.0.attn.in_proj_weight", "open_clip"),
        ("transformer.encoder.layers.0.linear1.weight", "DETR"),
        ("model.0.conv.weight", "Ultralytics"),
    ],
)
def test_weights_of_other_networks_are_named(tmp_path, name, whose) -> None:
    torch.save({"state_dict": {name: torch.ones(1)}, "meta": {}}, tmp_path / "w.pth")
    assert whose in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("file", ["w.pth", "w.pkl", "w.safetensors"])
def test_pointers_and_pages_in_place_of_weights_are_named(tmp_path, file) -> None:
    (tmp_path / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    assert "is a pointer of Git LFS" in refusal(tmp_path / file)
    (tmp_path / file).write_text("\n<!DOCTYPE html>\n<title>Sign in</title>")
    assert "is a web page" in refusal(tmp_path / file)


def test_models_converted_from_torchvision_are_refused_because_their_input_differs(tmp_path) -> None:
    arrays = {"stem.conv1.weight": np.ones((64, 3, 7, 7), dtype=np.float32)}
    content = {"model": arrays, "__author__": "torchvision", "matching_heuristics": True}
    assert "wants RGB with torchvision's mean and std" in refusal(save_pickle(tmp_path / "R-50.pkl", content))
    torch.save({"layer1.0.conv1.weight": torch.ones(1)}, tmp_path / "resnet50.pth")
    assert "has torchvision's names" in refusal(tmp_path / "resnet50.pth")


def test_a_checkpoint_of_another_depth_or_of_other_classes_is_refused_with_both(tmp_path) -> None:
    deep = Checkpoint(Path("deep.pth"), "defrcn", random_state(ARCHITECTURES["r50"]), ARCHITECTURES["r50"], None)
    with torch.device("meta"):
        shallow_model = build_detector(ARCHITECTURES["r101"], class_count=2)
    with pytest.raises(CheckpointError) as caught:
        load_weights(shallow_model, deep, require="all")
    assert_names(str(caught.value), "deep.pth", "3", "checkpoint")
    with pytest.raises(CheckpointError) as caught:
        load_weights(build_detector(SMALL, class_count=5), checkpoint_of(random_state()), require="all")
    assert_names(str(caught.value), "made.pth", "2", "5", "`risf finetune`")


def test_other_classes_are_reported_as_reshaped_where_only_the_backbone_is_required() -> None:
    model = build_detector(SMALL, class_count=5)
    before = model.roi_heads.box_predictor.cls_score.weight.detach().clone()
    report = load_weights(model, checkpoint_of(random_state()), require="backbone")
    assert [name for name, _, _ in report.reshaped] == [CLASS_WEIGHT, CLASS_BIAS, BOX_WEIGHT, BOX_BIAS]
    assert report.reshaped[0] == (CLASS_WEIGHT, (3, 256), (6, 256))
    assert torch.equal(model.roi_heads.box_predictor.cls_score.weight, before)
    assert report.lines()[-1].startswith("of another shape, left as they were: 4: roi_heads.box_predictor.cls_score")


def test_a_missing_parameter_is_an_error_where_all_are_required() -> None:
    state = random_state()
    del state["backbone.res3.0.conv2.weight"]
    with pytest.raises(CheckpointError) as caught:
        load_weights(build_detector(SMALL, class_count=2), checkpoint_of(state), require="backbone")
    assert_names(str(caught.value), "made.pth", "1", "backbone.res3.0.conv2.weight")


def test_imagenet_weights_alone_are_no_detector(tmp_path) -> None:
    state, names = plain_state(), caffe2_names((1, 1, 1, 1))
    path = save_pickle(tmp_path / "R.pkl", {theirs: state[ours].numpy() for theirs, ours in names.items()})
    with pytest.raises(CheckpointError, match="which detects nothing; train with it"):
        detector_of(read_checkpoint(path))
