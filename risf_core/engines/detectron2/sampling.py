"""detectron2's RPN and RoI heads that train on the anchors and RoIs that given samplers draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import Res5ROIHeads
from torch import Tensor

from risf_core.detector.matching import Sampler


class SampledRPN(RPN):  # type: ignore[misc]  # detectron2 has no types
    """Upstream's RPN; with `samplers` set, one for each image of the batch, these draw its anchors."""

    samplers: Sequence[Sampler] = ()
    _turns: Iterator[Sampler] = iter(())

    def label_and_sample_anchors(self, anchors: list[Any], gt_instances: list[Any]) -> Any:  # Any: upstream's
        self._turns = iter(self.samplers)
        return super().label_and_sample_anchors(anchors, gt_instances)

    def _subsample_labels(self, label: Tensor) -> Tensor:
        sampler = next(self._turns, None)  # upstream asks once for each image, in order
        if sampler is None:
            return super()._subsample_labels(label)  # type: ignore[no-any-return]
        positive, negative = sampler(
            torch.nonzero(label == 1)[:, 0],
            torch.nonzero(label == 0)[:, 0],
            count=self.batch_size_per_image,
            positive_fraction=self.positive_fraction,
        )
        label.fill_(-1)  # not trained on
        label[positive], label[negative] = 1, 0
        return label


class SampledRes5Heads(Res5ROIHeads):  # type: ignore[misc]  # likewise
    """Upstream's C4 heads; with `samplers` set, one for each image of the batch, these draw its RoIs."""

    samplers: Sequence[Sampler] = ()
    _turns: Iterator[Sampler] = iter(())

    def label_and_sample_proposals(self, proposals: list[Any], targets: list[Any]) -> Any:  # Any: upstream's
        self._turns = iter(self.samplers)
        return super().label_and_sample_proposals(proposals, targets)

    def _sample_proposals(
        self, matched_idxs: Tensor, matched_labels: Tensor, gt_classes: Tensor
    ) -> tuple[Tensor, Tensor]:
        sampler = next(self._turns, None)
        if sampler is None:
            return super()._sample_proposals(matched_idxs, matched_labels, gt_classes)  # type: ignore[no-any-return]
        labels = torch.full_like(matched_idxs, self.num_classes)  # background
        foreground = torch.nonzero(matched_labels == 1)[:, 0]
        if len(gt_classes):
            labels[foreground] = gt_classes[matched_idxs[foreground]]
        positive, negative = sampler(
            foreground if len(gt_classes) else foreground[:0],
            torch.nonzero(labels == self.num_classes)[:, 0],
            count=self.batch_size_per_image,
            positive_fraction=self.positive_fraction,
        )
        chosen = torch.cat([positive, negative])
        return chosen, labels[chosen]
