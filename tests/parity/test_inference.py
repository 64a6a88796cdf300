"""Same weights, same photo: upstream detectron2 and this package find the same boxes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("detectron2", reason="`make test-detectron2` runs the comparisons with detectron2")

from detectron2.data.detection_utils import read_image
from detectron2.data.transforms import ResizeShortestEdge
from PIL import Image

from risf_core.detector.architecture import ARCHITECTURES, InputSettings
from risf_core.detector.inputs import batch_of, in_photo, network_pixels, resized_size
from risf_core.detector.prediction import predict
from risf_core.detector.roi_heads import ImageDetections
from risf_core.photos import Photo
from risf_core.vocabulary import ClassVocabulary
from tests.lively import CLASSES, lively_detector, random_photo
from tests.parity.upstream import PHOTOS, insert_decoupling, upstream_model

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")  # upstream's anchor generator
BOX_TOLERANCE = 1e-3  # pixels
SCORE_TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=["r50", "r101"])
def pair(request):
    """The two models with the same random weights, DeFRCN's affines among them; ours laid out as `predict` does."""
    ours = lively_detector(request.param).to(memory_format=torch.channels_last)
    upstream = upstream_model(request.param).eval()
    insert_decoupling(upstream)
    upstream.load_state_dict(ours.state_dict())  # strict: the names and shapes are the same
    return ours, upstream


def run_both(ours, upstream, pixels, *, most=1000):
    """(proposals, detections) of ours and of upstream's, on one image (3, H, W) of the network's size.

    The RoI heads see the best `most` proposals.
    """
    proposals = {}
    hooks = [
        ours.proposal_generator.register_forward_hook(lambda m, i, out: proposals.update(ours=out[0])),
        upstream.proposal_generator.register_forward_hook(
            lambda m, i, out: proposals.update(upstream=out[0][0].proposal_boxes.tensor)
        ),
        ours.roi_heads.register_forward_pre_hook(lambda m, i: (i[0], [boxes[:most] for boxes in i[1]], i[2])),
        upstream.roi_heads.register_forward_pre_hook(lambda m, i: (*i[:2], [boxes[:most] for boxes in i[2]], i[3])),
    ]
    size = tuple(pixels.shape[1:])
    batch = batch_of([pixels], ours.architecture.inputs)
    if ours.backbone.res2[0].conv2.weight.is_contiguous(memory_format=torch.channels_last):
        batch = replace(batch, pixels=batch.pixels.contiguous(memory_format=torch.channels_last))
    (found,) = ours.detect(batch)
    with torch.no_grad():
        (expected,) = upstream([{"image": pixels, "height": size[0], "width": size[1]}])
    for hook in hooks:
        hook.remove()
    return (proposals["ours"], found), (proposals["upstream"], expected["instances"])


@pytest.mark.parametrize(("size", "seed"), PHOTOS.items())
def test_the_same_weights_give_the_same_proposals_and_the_same_detections_in_the_same_order(pair, size, seed) -> None:
    pixels = network_pixels(random_photo(size, seed), size)
    # The RoI heads take most of the time, and those of R-101 are R-50's: they see all 1000 proposals on one photo
    most = 1000 if pair[0].architecture.name == "r50" or size == next(iter(PHOTOS)) else 250
    (proposals, found), (expected_proposals, expected) = run_both(*pair, pixels, most=most)
    assert len(expected) == 100  # the full number: the comparison has something to compare
    assert len(expected.pred_classes.unique()) > 1
    assert_equal_detections(found, expected)
    assert_same_boxes(proposals, expected_proposals)


def assert_equal_detections(found, expected) -> None:
    assert len(expected) > 20
    torch.testing.assert_close(found.boxes, expected.pred_boxes.tensor, rtol=0, atol=BOX_TOLERANCE)
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=SCORE_TOLERANCE)
    assert found.labels.tolist() == expected.pred_classes.tolist()


def assert_same_boxes(boxes: torch.Tensor, expected: torch.Tensor) -> None:
    """Each box has one partner; an order may differ only by a place or two, where objectness ties to the last digit."""
    assert len(boxes) == len(expected) == 1000
    distance = torch.cdist(boxes, expected, p=float("inf"))
    nearest = distance.argmin(dim=1)
    assert distance.min(dim=1).values.max() < BOX_TOLERANCE
    assert sorted(nearest.tolist()) == list(range(len(expected)))
    assert (nearest - torch.arange(len(expected))).abs().max() <= 2


@pytest.fixture(scope="module")
def quick_pair():
    """As `pair`, with 150 proposals an image instead of 1000."""
    architecture = replace(ARCHITECTURES["r50"], proposals_test=(2000, 150))
    ours = lively_detector(architecture)
    upstream = upstream_model("r50", proposals_test=(2000, 150)).eval()
    insert_decoupling(upstream)
    upstream.load_state_dict(ours.state_dict())
    return ours, upstream


def test_from_file_to_boxes_in_the_photos_pixels_predict_does_what_upstream_does(quick_pair, tmp_path) -> None:
    ours, upstream = quick_pair
    photo = random_photo((300, 411), 5)
    Image.fromarray(photo).save(tmp_path / "5.png")
    vocabulary = ClassVocabulary.from_names([str(label) for label in range(CLASSES)], first_id=0)
    inputs = InputSettings(short_side=200, long_side=333)
    result = predict(ours, {5: Photo(tmp_path / "5.png")}, vocabulary=vocabulary, inputs=inputs)
    bgr = read_image(str(tmp_path / "5.png"), format="BGR")
    resized = ResizeShortestEdge(200, 333).get_transform(bgr).apply_image(bgr)
    pixels = torch.as_tensor(resized.astype("float32").transpose(2, 0, 1))
    with torch.no_grad():
        (expected,) = upstream([{"image": pixels, "height": 300, "width": 411}])
    boxes = torch.tensor(result.detections.boxes).float()
    found = ImageDetections(
        boxes, torch.tensor(result.detections.scores).float(), torch.tensor(result.detections.labels)
    )
    assert_equal_detections(found, expected["instances"])


def test_other_affines_give_other_detections(quick_pair) -> None:
    ours, upstream = quick_pair
    (size, seed), *_ = PHOTOS.items()
    pixels = network_pixels(random_photo(size, seed), size)
    before = upstream.affine_rcnn.weight.detach().clone()
    try:
        upstream.affine_rcnn.weight.data.fill_(1.0)
        (_, found), (_, expected) = run_both(ours, upstream, pixels)
    finally:
        upstream.affine_rcnn.weight.data.copy_(before)
    count = min(len(found.scores), len(expected))
    assert count > 20
    assert not torch.allclose(found.scores[:count], expected.scores[:count], atol=1e-2)


def test_a_batch_padded_to_a_common_size_gives_what_upstream_makes_of_that_batch(quick_pair) -> None:
    ours, upstream = quick_pair
    sizes = [(160, 224), (192, 144)]
    images = [network_pixels(random_photo(size, seed), size) for seed, size in enumerate(sizes)]
    found = ours.detect(batch_of(images, ours.architecture.inputs))
    with torch.no_grad():
        expected = upstream([{"image": image} for image in images])
    for ours_found, theirs in zip(found, expected, strict=True):
        assert_equal_detections(ours_found, theirs["instances"])


def test_the_coco_models_of_detectron2_pool_to_14_and_have_no_affines() -> None:
    architecture = replace(ARCHITECTURES["r50"], pooler_resolution=14, proposals_test=(2000, 60))
    ours = lively_detector(architecture, random_affines=False)
    upstream = upstream_model("r50", pooler_resolution=14, proposals_test=(2000, 60)).eval()
    missing, unexpected = upstream.load_state_dict(ours.state_dict(), strict=False)
    assert missing == []
    assert unexpected == ["affine_rpn.weight", "affine_rpn.bias", "affine_rcnn.weight", "affine_rcnn.bias"]
    (size, seed), *_ = PHOTOS.items()
    (_, found), (_, expected) = run_both(ours, upstream, network_pixels(random_photo(size, seed), size))
    assert_equal_detections(found, expected)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (427, 640), (333, 1200), (1200, 90), (37, 41), (500, 375)])
def test_photos_are_resized_to_the_same_pixels(size) -> None:
    inputs = InputSettings()
    photo = random_photo(size, 3) if min(size) > 40 else random_photo((60, 60), 3)[: size[0], : size[1]]
    bgr = photo[:, :, ::-1]
    resize = ResizeShortestEdge(inputs.short_side, inputs.long_side).get_transform(bgr)
    expected = torch.from_numpy(resize.apply_image(bgr.copy()).transpose(2, 0, 1).copy())
    target = resized_size(size, short_side=inputs.short_side, long_side=inputs.long_side)
    assert torch.equal(network_pixels(photo, target), expected)


def test_boxes_return_to_the_photo_as_upstreams_do() -> None:
    from detectron2.modeling.postprocessing import detector_postprocess
    from detectron2.structures import Boxes, Instances

    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(50, 2, 2, generator=generator).sort(dim=1).values.flatten(1)  # (50, 4) x0 y0 x1 y1
    boxes = corners * torch.tensor([1067.0, 800.0, 1067.0, 800.0])
    boxes[3, 2] = boxes[3, 0]  # empty
    scores, labels = torch.rand(50, generator=generator), torch.arange(50) % 7
    instances = Instances((800, 1067), pred_boxes=Boxes(boxes.clone()), scores=scores, pred_classes=labels)
    expected = detector_postprocess(instances, 480, 640)
    found = in_photo(ImageDetections(boxes, scores, labels), size=(800, 1067), photo_size=(480, 640))
    torch.testing.assert_close(found.boxes, expected.pred_boxes.tensor, rtol=0, atol=BOX_TOLERANCE)
    assert len(found.boxes) == 49
    assert found.labels.tolist() == expected.pred_classes.tolist()
