"""The whole job of `risf tune`: detections of labelled images in, a fitted fusion and what it is worth out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from risf_core.choices import DEFAULT_BOOTSTRAP, Best, OnUnmatched
from risf_core.datasets.index import DatasetIndex
from risf_core.encoder.choice import EncoderChoice
from risf_core.errors import ConfigError, DataError, counted
from risf_core.evaluation.inputs import warn_of_images_without_detections
from risf_core.evaluation.thresholds import Wish
from risf_core.files import display_name, is_stream, write_json
from risf_core.formats.conventions import Conventions
from risf_core.outputs import check_outputs
from risf_core.progress import PhaseProgress
from risf_core.rescore.crop_jobs import some_crops
from risf_core.rescore.encoders import open_encoders
from risf_core.rescore.inputs import RescoreInputs, read_inputs
from risf_core.rescore.settings import RescoreSettings, prompts_of
from risf_core.rescore.support import SupportChoice, build_prototypes, check_encoders, check_evidence, read_support
from risf_core.tuning.calibrating import Calibrated, calibrate
from risf_core.tuning.sources import Labels, fusion_content, read_labels
from risf_core.tuning.texts import TextChoices, check_texts
from risf_core.tuning.tune import Tuned, tune


@dataclass(frozen=True)
class TuneSettings:
    """How a fusion is fitted and judged."""

    sparse: bool | None = None  # only some objects of the images are labelled; None: where the labels are a split
    seed: int = 0  # deals the images to folds, and draws the resamples
    bootstrap: int = DEFAULT_BOOTSTRAP  # resamples of the images for the intervals; 0: none
    texts: TextChoices | None = None  # templates and names that are tried; None: those of the settings alone
    precision_at: float | None = None  # that a threshold of each class is to reach
    best: Best | None = None  # what it is to make best instead

    @property
    def wish(self) -> Wish | None:
        """What thresholds are for; None: there are to be none."""
        return None if self.precision_at is None and self.best is None else Wish(self.precision_at, self.best)


@dataclass(frozen=True)
class TunedFile:
    """What was fitted, and what the file holds."""

    tuned: Tuned | Calibrated
    content: dict[str, Any]  # Any: JSON


def tune_file(
    detections: Path | str,
    out: Path,
    *,
    annotations: Path,
    images: Sequence[Path] = (),
    novel: str | None = None,
    conventions: Conventions | None = None,
    on_unmatched: OnUnmatched = "drop",
    support: SupportChoice | None = None,
    encoder: EncoderChoice | None = None,
    settings: RescoreSettings | None = None,
    tuning: TuneSettings | None = None,
    cache: Path | None = None,
    talk: Callable[[str], None] | None = None,
    progress: PhaseProgress | None = None,
) -> TunedFile:
    """Fit a fusion to detections (``-``: stdin) of labelled images and write it to a file for `rescore_file`.

    Where `settings.evidence` is "none" it is a calibration, which needs neither encoder nor photos.

    Args:
        annotations: the labels: a COCO JSON, a folder in Pascal VOC's form, or a few-shot split.
        images: folders of photos, beside those that a split names.
        support: a few boxes of each class, where `settings.evidence` asks for them; its shots and seed are also those
            of a split as `annotations`.
        talk: called with lines on what was read, before the work.
    """
    encoder, settings, tuning = encoder or EncoderChoice(), settings or RescoreSettings(), tuning or TuneSettings()
    choice = support or SupportChoice()
    if is_stream(out):
        raise ConfigError(f"`out={out}` is not a file, and `risf rescore` reads one; name a file")
    files = {"detections": Path(detections), "annotations": annotations, "support": choice.support}
    weights = [encoder.clip_config, encoder.clip_weights, choice.support_weights]
    check_outputs({"out": out}, inputs=[*files.values(), *weights, novel, *images, cache])
    wish = tuning.wish
    check_evidence(settings.evidence, choice)
    check_encoders(encoder, settings.evidence, choice)
    labels = read_labels(annotations, shots=choice.shots, seed=choice.split_seed, novel=novel, sparse=tuning.sparse)
    if settings.evidence == "none" and labels.sparse:
        raise ConfigError(
            "`evidence=none` needs images whose objects are all labelled: sparse labels do not say how often "
            "detections are right; pass `sparse=false` if all are"
        )
    if wish is not None and labels.sparse:
        raise ConfigError(
            "`precision_at` and `best` need images whose objects are all labelled: sparse labels do not say how often "
            "detections are right; pass `sparse=false` if all are"
        )
    if settings.relabel and (labels.sparse or tuning.texts is not None):
        other = "sparse labels" if labels.sparse else "`templates=auto`"
        raise ConfigError(f"`relabel={settings.relabel}` and {other} do not go together; leave one of them out")
    inputs = read_inputs(
        detections,
        annotations=DatasetIndex(labels.ground_truth.vocabulary, labels.ground_truth.images_by_id),
        images=[*images, *labels.folders],
        need_photos=settings.evidence != "none",
        novel=novel,
        conventions=conventions,
        on_unmatched=on_unmatched,
    )
    if not len(inputs.file.detections):
        raise DataError(f"{display_name(detections)}: holds no detections of labelled images, so nothing can be fitted")
    truth = labels.ground_truth.with_vocabulary(inputs.vocabulary)
    warn_of_images_without_detections(inputs.file.detections, truth, name=display_name(detections))
    prompts_of(inputs.vocabulary, settings)
    if tuning.texts is not None:
        check_texts(tuning.texts, inputs.vocabulary, settings)
    shots = read_support(choice, inputs.vocabulary, novel=novel)

    if talk is not None:
        for line in _lines(inputs, labels):
            talk(line)
    # torch and open_clip take seconds to import: faults of the input above are reported without them
    encoders = open_encoders(
        encoder,
        choice,
        settings.evidence,
        crops=len(inputs.file.detections),
        cache=cache,
        some_crops=partial(some_crops, inputs.file.detections, inputs.photos, settings),
        talk=talk,
    )
    settings = encoders.completed(settings)
    prototypes = None
    if shots is not None:
        asked_of_shots = encoders.through_cache(encoders.of_shots or encoders.main)
        prototypes = build_prototypes(shots, images, encoder=asked_of_shots, progress=progress)
    main, second = encoders.asked()
    tuned: Tuned | Calibrated
    if main is None:
        tuned = calibrate(inputs.file.detections, truth, seed=tuning.seed, wish=wish)
    else:
        tuned = tune(
            inputs.file.detections,
            truth,
            encoder=main,
            support_encoder=second,
            photos=inputs.photos,
            settings=settings,
            prototypes=prototypes,
            texts=tuning.texts,
            sparse=labels.sparse,
            seed=tuning.seed,
            resamples=tuning.bootstrap,
            wish=wish,
            progress=progress,
        )
        settings = settings if tuned.texts is None else settings.saying(tuned.texts)
    arguments = {
        "detections": detections,
        "out": out,
        "annotations": annotations,
        "images": images,
        "novel": novel,
        **asdict(conventions or Conventions()),
        "on_unmatched": on_unmatched,
        **asdict(choice),
        **asdict(encoder),
        **asdict(tuning),
        "cache": cache,
    }
    content = fusion_content(
        tuned,
        encoders=encoders,
        vocabulary=inputs.vocabulary,
        settings=settings,
        prototypes=prototypes,
        arguments=arguments,
        inputs=files,
    )
    write_json(out, content)
    return TunedFile(tuned, content)


def _lines(inputs: RescoreInputs, labels: Labels) -> Iterator[str]:
    truth = labels.ground_truth
    boxes = int(truth.boxes_per_class().sum())
    yield (
        f"read {counted(len(inputs.file.detections), 'detection')}, {counted(boxes, 'box')} of "
        f"{counted(len(truth.images), 'labelled image')}"
    )
    if labels.sparse:
        yield (
            "sparse labels: only detections on labelled boxes are judged (wrong: on one of another class), and the fit "
            "is pulled harder to the detector's order; `sparse=false` if every object of the images is labelled"
        )
