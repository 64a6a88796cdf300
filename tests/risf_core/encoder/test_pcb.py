"""PCB's encoder: equal to a plain loop over boxes with random weights; where its weights are looked for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from risf_core.encoder.pcb import PcbEncoder
from risf_core.encoder.protocol import ImageCrops
from risf_core.errors import EncoderError
from risf_core.photos import Photo
from tests.messages import assert_names


@pytest.fixture(scope="module")
def random_resnet(tmp_path_factory) -> tuple[torch.nn.Module, Path]:
    torch.manual_seed(0)
    model = torchvision.models.resnet101().eval()
    path = tmp_path_factory.mktemp("resnet") / "resnet101.pth"
    torch.save(model.state_dict(), path)
    return model, path


def mean_under_box(features: np.ndarray, box: np.ndarray) -> np.ndarray:
    """RoIAlign 1x1 of a map (C, H, W) for a box in its cells: the mean of bilinear samples, one per cell and axis."""
    x0, y0, x1, y1 = box - 0.5  # a cell's value is that of its middle
    rows, columns = math.ceil(y1 - y0), math.ceil(x1 - x0)
    total = np.zeros(len(features))
    for row in range(rows):
        for column in range(columns):
            y = y0 + (row + 0.5) * (y1 - y0) / rows
            x = x0 + (column + 0.5) * (x1 - x0) / columns
            total += bilinear(features, y, x)
    return total / (rows * columns)


def bilinear(features: np.ndarray, y: float, x: float) -> np.ndarray:
    """The map between its cells; up to one cell outside it is as at its edge."""
    _, height, width = features.shape
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = (1 - dx) * features[:, top, left] + dx * features[:, top, right]
    lower = (1 - dx) * features[:, below, left] + dx * features[:, below, right]
    return (1 - dy) * upper + dy * lower


def test_outputs_equal_a_plain_loop(random_resnet, photos):
    model, weights = random_resnet
    jobs = []
    for path in photos[:2]:
        with Image.open(path) as photo:
            width, height = photo.size
        boxes = np.array(
            [[0, 0, width, height], [3.5, 8.25, width / 2, height / 3], [width - 9, height - 7, width, height]]
        )
        jobs.append(ImageCrops(Photo(path), boxes))
    found = list(PcbEncoder(weights=weights).encode_crops(jobs))
    for job, rows in zip(jobs, found, strict=True):
        with Image.open(job.photo.path) as photo:
            rgb = np.asarray(photo.convert("RGB")) / 255
        pixels = ((rgb - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(2, 0, 1)
        trunk = torch.nn.Sequential(*list(model.children())[:-2])
        with torch.no_grad():
            features = trunk(torch.tensor(pixels[None], dtype=torch.float32))[0].double().numpy()
        pooled = np.array([mean_under_box(features, box / 32) for box in job.boxes])
        expected = pooled @ model.fc.weight.detach().double().numpy().T + model.fc.bias.detach().double().numpy()
        assert rows.shape == (3, 1000)
        lengths = np.linalg.norm(expected, axis=1, keepdims=True)
        assert rows / lengths == pytest.approx(expected / lengths, abs=1e-6)


def test_the_key_changes_with_the_weights(random_resnet, tmp_path):
    other = tmp_path / "other.pth"
    other.write_bytes(b"other")
    assert PcbEncoder(weights=random_resnet[1]).key != PcbEncoder(weights=other).key


def test_without_network_the_file_to_fetch_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(EncoderError) as caught:
        PcbEncoder()
    assert_names(
        str(caught.value),
        "https://download.pytorch.org/models/resnet101-63fe2227.pth",
        "`support_weights`",
        "torchvision",
    )
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    kept = tmp_path / "hub" / "checkpoints" / "resnet101-63fe2227.pth"
    kept.write_bytes(b"weights")
    assert PcbEncoder().weights == kept


def test_weights_of_another_network_are_refused(tmp_path, photos):
    path = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    with pytest.raises(EncoderError, match="these weights are not of the model torchvision:resnet101"):
        list(PcbEncoder(weights=path).encode_crops([ImageCrops(Photo(photos[0]), np.zeros((0, 4)))]))
