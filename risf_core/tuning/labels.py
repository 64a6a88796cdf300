"""Labels of detections: which of them are right, and which can be judged at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import DataError, counted
from risf_core.evaluation import match
from risf_core.evaluation.coco import COCO_MAX_DETECTIONS
from risf_core.evaluation.coco_matching import overlaps_of_pairs
from risf_core.rescore.evidence import Evidence
from risf_core.rescore.prompts import Texts
from risf_core.tuning.texts import TextTrial

LEAST_OVERLAP = 0.5  # intersection over union of a detection that is right
LEAST_IMAGES = 2  # with detections that can be judged: one to fit to, one to see whether that helped


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """N detections of labelled images, with all that a fit needs to know of them."""

    scores: NDArray[np.float64]  # (N,) the detector's
    evidence: Evidence
    boxes_xywh: NDArray[np.float64]  # (N, 4)
    novel: NDArray[np.bool_]  # (N,) of a novel class
    rescored_class: NDArray[np.bool_]  # (N,) of a class that is re-scored
    images: NDArray[np.int64]  # (N,) positions among the labelled images
    right: NDArray[np.float64]  # (N,) 1 where the detection found a box, else 0
    judged: NDArray[np.bool_]  # (N,) whether the labels say anything of it
    score_range: tuple[float, float] = (0.05, 1.0)  # rows above the first and up to the second are re-scored
    sparse: bool = False  # only some objects of the images are labelled
    texts: TextTrial | None = None  # where the labels choose what is said to the encoder

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> LabelledRows:
        """Some of the rows."""
        return LabelledRows(
            self.scores[rows],
            self.evidence[rows],
            self.boxes_xywh[rows],
            self.novel[rows],
            self.rescored_class[rows],
            self.images[rows],
            self.right[rows],
            self.judged[rows],
            self.score_range,
            self.sparse,
            None if self.texts is None else self.texts[rows],
        )

    @property
    def added(self) -> NDArray[np.bool_]:
        """The rows (N,) that relabelling added."""
        return np.asarray(self.evidence.added == 1)

    def saying(self, texts: Texts | None) -> LabelledRows:
        """The rows with what the encoder says by other texts; None: by those of the settings."""
        if texts is None or self.texts is None:
            return self
        return replace(self, evidence=self.texts.evidence(texts))


def judge(
    detections: Detections, ground_truth: AnnotatedDataset, *, sparse: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Which detections (N,) are right, and which are judged (N,); image ids and labels are the ground truth's.

    Right is what COCO's rule matches at an overlap of 0.5: the class is the same, and each box is found once. Not
    judged is what matches a crowd region, or comes after the 100 best of an image and class. With `sparse` labels,
    where other objects of the image have none, a detection is wrong only if it overlaps a labelled box of another class
    as much and none of its own; whatever lies elsewhere is not judged.
    """
    right = np.zeros(len(detections))
    judged = np.zeros(len(detections), dtype=bool)
    known = np.flatnonzero(detections.labels >= 0)
    matches = match(detections[known], ground_truth, max_detections=COCO_MAX_DETECTIONS)
    rows = known[matches.order.rows]
    right[rows] = matches.true_positive[0, 0]  # of all sizes, at the lowest threshold
    judged[rows] = ~matches.ignored[0, 0]
    if sparse:
        judged &= (right > 0) | _on_another_class(detections, ground_truth)
    return right, judged


def _on_another_class(detections: Detections, ground_truth: AnnotatedDataset) -> NDArray[np.bool_]:
    """Which detections (N,) overlap a box of another class by at least a half, and none of their own class."""
    result = np.zeros(len(detections), dtype=bool)
    boxes_of: dict[object, list[int]] = {}
    for position, image_id in enumerate(ground_truth.image_ids.tolist()):
        boxes_of.setdefault(image_id, []).append(position)
    for image_id, rows in detections.by_image():
        boxes = boxes_of.get(image_id)
        if boxes is None:
            continue
        row, box = np.divmod(np.arange(len(rows) * len(boxes)), len(boxes))  # every pair
        found, truth = detections.boxes_xywh[rows][row], ground_truth.boxes_xywh[boxes][box]
        overlaps = overlaps_of_pairs(found, truth, np.zeros(len(row), dtype=bool))
        enough = overlaps.reshape(len(rows), len(boxes)) >= LEAST_OVERLAP  # (n, m)
        same = detections.labels[rows][:, None] == ground_truth.labels[boxes][None, :]
        result[rows] = (enough & ~same).any(axis=1) & ~(enough & same).any(axis=1)
    return result


def image_positions(detections: Detections, ground_truth: AnnotatedDataset) -> NDArray[np.int64]:
    """The position (N,) of each detection's image among the labelled ones."""
    position_of = {image_id: position for position, image_id in enumerate(ground_truth.images_by_id)}
    return np.array([position_of[image_id] for image_id in detections.image_ids.tolist()], dtype=np.int64)


def refuse_too_little(
    right: NDArray[np.float64], usable: NDArray[np.bool_], images: NDArray[np.int64], *, sparse: bool = False
) -> None:
    """Raises DataError where the usable detections are too few to learn from, or none of them is right."""
    count = len(np.unique(images[usable]))
    reason = " (sparse labels judge only rows on labelled boxes)" if sparse else ""
    if count < LEAST_IMAGES:
        raise DataError(
            f"{counted(count, 'labelled image')} with detections to judge and to re-score{reason}; a fit needs at "
            f"least {LEAST_IMAGES}, and 10 to be of use"
        )
    if not (right[usable] > 0).any():
        raise DataError(
            f"none of {int(usable.sum())} detections is right (same class, overlap 0.5): do annotations and detections "
            "belong together? risf evaluate tells"
        )
