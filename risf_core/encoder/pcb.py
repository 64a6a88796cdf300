"""The encoder of PCB, DeFRCN's re-scoring: a classifier of ImageNet looks at the photo's features under each box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torchvision.ops import roi_align

from risf_core.choices import Precision
from risf_core.encoder.batches import batch_plan
from risf_core.encoder.crop_feed import cut_ahead
from risf_core.encoder.image_only import PCB_ENCODER
from risf_core.encoder.image_weights import (
    ImageOnlyEncoder,
    Published,
    given_weights,
    load_weights,
    place_of_url,
    url_weights,
)
from risf_core.encoder.preprocessing import DTYPES, on_device
from risf_core.encoder.protocol import ImageCrops
from risf_core.images import decode_rgb

_WEIGHTS = torchvision.models.ResNet101_Weights.IMAGENET1K_V1
_STRIDE = 32  # pixels of the photo per cell of the map
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in 0..1, as torchvision's weights want them
_AHEAD = 8  # photos decoded before their turn


def published_pcb() -> Published:
    """The published weights of PCB's encoder, whether they are here."""
    path = place_of_url(_WEIGHTS.url)
    return Published(None, None, path if path.is_file() else None)


class PcbEncoder(ImageOnlyEncoder):
    """The 1000 outputs of torchvision's ResNet-101 for RoIAlign 1x1 of its last map (DeFRCN, ICCV 2021, section 3.4).

    The photo goes through once at its own size. The outputs keep their length, which weighs them in a prototype's mean.
    """

    def __init__(
        self,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        precision: Precision = "fp32",
        workers: int | None = None,
    ) -> None:
        """
        Args:
            weights: a local file of torchvision's ResNet-101, in place of its IMAGENET1K_V1.

        Raises EncoderError where the weights are neither here nor in reach.
        """
        self.device = device
        self.precision = precision
        self.batch_size, self.workers = batch_plan(1, workers, device)
        self.weights = given_weights(weights) if weights is not None else url_weights(PCB_ENCODER, _WEIGHTS.url)
        self.full_name, self.licence = PCB_ENCODER, None  # torchvision states none for its weights
        self.preprocessing = {"crop": f"RoIAlign 1x1 of the stride-{_STRIDE} map", "mean": _MEAN, "std": _STD}

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[NDArray[np.float32]]:
        """For each photo the outputs of its boxes, (n, 1000), not scaled."""
        decoded = cut_ahead(
            images,
            lambda job: np.array(decode_rgb(job.photo.path, job.photo.size)),  # a copy that torch may own
            size=lambda job: 1,
            workers=self.workers,
            batch_size=_AHEAD,
            beside=self.device != "cpu",
        )
        for job, photo in decoded:
            yield self._outputs(photo, job.boxes)

    @torch.inference_mode()
    def _outputs(self, photo: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.float32]:
        dtype = DTYPES[self.precision]
        pixels = on_device(torch.from_numpy(photo).permute(2, 0, 1)[None], self.device).float().div_(255)
        mean, std = (torch.tensor(value, device=self.device).view(3, 1, 1) for value in (_MEAN, _STD))
        trunk, classifier = self._model
        features = trunk(((pixels - mean) / std).to(dtype, memory_format=torch.channels_last)).float()
        rois = torch.from_numpy(boxes).to(self.device, torch.float32)
        pooled = roi_align(features, [rois], output_size=1, spatial_scale=1 / _STRIDE, sampling_ratio=0, aligned=True)
        outputs: NDArray[np.float32] = classifier(pooled.flatten(1).to(dtype)).float().cpu().numpy()
        return outputs

    @cached_property
    def _model(self) -> tuple[Any, Any]:  # Any: torchvision is not typed
        model = torchvision.models.resnet101()
        load_weights(model, self.weights, name=PCB_ENCODER)
        model = model.to(self.device, DTYPES[self.precision], memory_format=torch.channels_last).eval()
        return torch.nn.Sequential(*list(model.children())[:-2]), model.fc
