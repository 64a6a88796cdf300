"""Files of weights: what upstream detectron2 reads from them, and what this package does."""

from __future__ import annotations

import pickle

import pytest
import torch

pytest.importorskip("detectron2", reason="`make test-detectron2` runs the comparisons with detectron2")

from detectron2.checkpoint import DetectionCheckpointer

from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.checkpoint import Checkpoint, read_checkpoint
from risf_core.detector.checkpoint_names import AFFINES, to_caffe2
from risf_core.detector.checkpoint_writing import write_checkpoint
from risf_core.detector.model import build_detector
from risf_core.detector.weights import detector_of, load_weights
from tests.lively import CLASSES, lively_detector
from tests.parity.upstream import insert_decoupling, upstream_model


def test_an_msra_pickle_loads_into_both_as_the_same_numbers(tmp_path) -> None:
    source = lively_detector("r50").state_dict()
    parts = (".weight", "norm.weight", "norm.bias")
    arrays = {to_caffe2(k): v.numpy() for k, v in source.items() if k.endswith(parts) and to_caffe2(k)}
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps({**arrays, "fc1000_b": arrays["res_conv1_bn_s"]}, protocol=2))
    upstream = upstream_model("r50")
    DetectionCheckpointer(upstream).load(str(path))
    ours = build_detector(ARCHITECTURES["r50"], class_count=CLASSES)
    load_weights(ours, read_checkpoint(path), require="backbone")
    state, expected = ours.state_dict(), upstream.state_dict()
    compared = [name for name in expected if name.startswith(("backbone.", "roi_heads.res5."))]
    assert len(compared) == 53 * 5  # every convolution of R-50 with its norm
    for name in compared:
        assert torch.equal(state[name], expected[name]), name


@pytest.mark.parametrize(("form", "file"), [("defrcn", "w.pth"), ("detectron2", "w.pkl")])
def test_upstream_reads_what_we_write(tmp_path, form, file) -> None:
    state = lively_detector("r50", random_affines=False).state_dict()
    write_checkpoint(Checkpoint(tmp_path, "defrcn", state, ARCHITECTURES["r50"], None), tmp_path / file, form=form)
    upstream = upstream_model("r50")
    if form == "defrcn":
        insert_decoupling(upstream)
    DetectionCheckpointer(upstream).load(str(tmp_path / file))
    for name, value in upstream.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_we_read_what_upstream_writes(tmp_path) -> None:
    upstream = upstream_model("r50", pooler_resolution=14)
    DetectionCheckpointer(upstream, str(tmp_path)).save("model_final", iteration=89999)
    checkpoint = read_checkpoint(tmp_path / "model_final.pth")
    assert (checkpoint.form, checkpoint.architecture.pooler_resolution) == ("detectron2", 14)
    model, report = detector_of(checkpoint)
    assert (report.missing, report.implied) == ((), AFFINES)
    for name, value in upstream.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
