"""The whole job of `risf predict`: a detector's weights and photos in, a file of detections out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from risf_core.choices import Engine, GroupChoice, PrecisionChoice
from risf_core.detections import ImageId
from risf_core.detector.prediction_inputs import PhotoChoice, PredictionInputs, read_prediction_inputs
from risf_core.detector.runs import RUN_FILE, WEIGHT_NAMES
from risf_core.devices import choose_device, choose_precision
from risf_core.errors import CheckpointError, counted, listing
from risf_core.formats.coco import write_detections
from risf_core.outputs import check_outputs
from risf_core.processes import Processes
from risf_core.progress import Progress
from risf_core.vocabulary import ClassVocabulary

if TYPE_CHECKING:
    from risf_core.detector.checkpoint import Checkpoint
    from risf_core.detector.model import Detector
    from risf_core.detector.prediction import PredictionSettings
    from risf_core.detector.weights import LoadReport


@dataclass(frozen=True)
class DetectorChoice:
    """Which weights are run, and how."""

    weights: Path  # a run folder or a checkpoint
    group: GroupChoice = "auto"  # which of the classes a bare checkpoint has
    min_score: float = 0.05  # detections above it are written
    max_dets: int = 100  # at most this many of each image
    short_side: int | None = None  # of the photos; None: as the weights state
    batch_size: int = 1
    workers: int = 2
    engine: Engine = "torchvision"
    device: str = "auto"
    precision: PrecisionChoice = "fp32"  # the boxes of upstream's test; half precision moves some by pixels
    allow_pickle: bool = False


@dataclass(frozen=True)
class PredictionSummary:
    """What was found and what could not be read."""

    out: str
    detections: int
    photos: int  # that were read
    unreadable: Mapping[ImageId, str]  # image id -> why it was left out
    without_photo: Sequence[ImageId]
    seconds: float

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf predict --json` prints."""
        return {
            "detections": self.detections,
            "photos": self.photos,
            "unreadable": {str(image_id): why for image_id, why in self.unreadable.items()},
            "without_photo": list(self.without_photo),
            "seconds": round(self.seconds, 3),
            "out": self.out,
        }


def predict_to_file(
    out: Path | str,
    detector: DetectorChoice,
    photos: PhotoChoice,
    *,
    processes: Processes | None = None,
    talk: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> PredictionSummary | None:
    """Write what a detector finds in photos (``-``: stdout); None in all processes but the first.

    `talk` is called with lines on the weights, before the work.
    """
    processes = processes or Processes()
    of_run = [detector.weights / name for name in (RUN_FILE, *WEIGHT_NAMES)]
    named = [photos.annotations, photos.classes, photos.novel, *photos.images]
    check_outputs({"out": out}, inputs=[*named, *of_run, detector.weights])
    if not detector.weights.exists():
        raise CheckpointError(f"{detector.weights}: there is no such checkpoint; check the path")
    given = read_prediction_inputs(photos)
    # torch takes seconds to import: faults of the input above are reported without it
    from risf_core.detector.prediction import PredictionSettings, predict, with_short_side
    from risf_core.engines import on_engine, require_engine

    require_engine(detector.engine)
    device = choose_device(detector.device)
    settings = PredictionSettings(
        device=device,
        precision=choose_precision(detector.precision, device),
        batch_size=detector.batch_size,
        workers=detector.workers,
        on_unreadable=photos.on_unreadable,
    )
    checkpoint, model, loaded, vocabulary = _opened(detector, given)
    if talk is not None:
        for line in _lines(checkpoint, loaded, vocabulary, given, settings, processes):
            talk(line)
    start = time.perf_counter()
    result = predict(
        on_engine(model, detector.engine),
        given.photos,
        vocabulary=vocabulary,
        settings=settings,
        inputs=with_short_side(checkpoint.architecture.inputs, detector.short_side),
        processes=processes,
        progress=progress,
    )
    if result is None:
        return None
    seconds = time.perf_counter() - start
    write_detections(out, result.detections, vocabulary)
    read = len(given.photos) - len(result.unreadable)
    return PredictionSummary(str(out), len(result.detections), read, result.unreadable, given.without_photo, seconds)


def _opened(
    detector: DetectorChoice, given: PredictionInputs
) -> tuple[Checkpoint, Detector, LoadReport, ClassVocabulary]:
    """The weights, the network with them, what became of them, and its classes."""
    from risf_core.detector.checkpoint import read_checkpoint
    from risf_core.detector.classes import output_vocabulary
    from risf_core.detector.roi_heads import TestSettings
    from risf_core.detector.weights import detector_of

    checkpoint = read_checkpoint(detector.weights, allow_pickle=detector.allow_pickle)
    test = TestSettings(score_threshold=detector.min_score, most=detector.max_dets)
    model, loaded = detector_of(checkpoint, test=test)
    vocabulary = output_vocabulary(
        class_count=model.class_count,
        weights=checkpoint.source,
        own=checkpoint.vocabulary,
        given=given.vocabulary,
        group=detector.group,
    )
    return checkpoint, model, loaded, vocabulary


def _lines(
    checkpoint: Checkpoint,
    loaded: LoadReport,
    vocabulary: ClassVocabulary,
    given: PredictionInputs,
    settings: PredictionSettings,
    processes: Processes,
) -> Iterator[str]:
    yield f"{checkpoint.source}: {checkpoint.architecture.name}, form {checkpoint.form}"
    yield from loaded.lines()
    yield f"{counted(len(vocabulary), 'class')}: {listing(vocabulary.names)}; {counted(len(given.photos), 'photo')}"
    yield f"{settings.precision} on {settings.device}, {counted(processes.count, 'process')}"
