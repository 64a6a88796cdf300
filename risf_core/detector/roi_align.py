"""RoIAlign on all cores: torchvision's operator uses only one on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torchvision.ops import roi_align


def align_rois(features: Tensor, boxes: Sequence[Tensor], *, side: int, stride: int) -> Tensor:
    """The features (B, C, H, W) within each image's boxes (R_b, 4) corners in pixels, (R, C, side, side).

    Aligned, with as many samples a bin as it has features (sampling ratio 0): detectron2's ROIAlignV2.
    """
    images = torch.cat([torch.full_like(each[:, :1], image) for image, each in enumerate(boxes)])
    rois = torch.cat([images, torch.cat(list(boxes))], dim=1).to(features.dtype)  # (R, 5) image, corners
    features = features.contiguous()

    def align(part: Tensor) -> Tensor:
        aligned: Tensor = roi_align(features, part, side, 1 / stride, sampling_ratio=0, aligned=True)
        return aligned

    threads = torch.get_num_threads()
    if features.requires_grad or features.device.type != "cpu" or threads == 1 or len(rois) < 2 * threads:
        return align(rois)
    with ThreadPoolExecutor(threads) as pool:  # the operator does not hold the interpreter's lock
        return torch.cat(list(pool.map(align, rois.chunk(threads))))
