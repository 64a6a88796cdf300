"""The whole job of `risf rescore`: a file of detections in, the same detections with new scores out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from risf_core.choices import OnUnmatched
from risf_core.encoder.choice import EncoderChoice
from risf_core.errors import ConfigError, counted, listing
from risf_core.files import STANDARD_STREAM, is_stream, write_json
from risf_core.formats.coco_forms import COCO
from risf_core.formats.conventions import Conventions
from risf_core.formats.registry import writable_form
from risf_core.outputs import check_outputs
from risf_core.processes import Processes, gather_to_first
from risf_core.progress import PhaseProgress
from risf_core.rescore.calibration import Calibration
from risf_core.rescore.crop_jobs import some_crops
from risf_core.rescore.encoders import Encoders, encoder_lines, open_encoders
from risf_core.rescore.fusion_file import SavedFusion, below_thresholds, check_fusion, conditions_of, read_fusion
from risf_core.rescore.inputs import RescoreInputs, read_inputs
from risf_core.rescore.pipeline import RescoreResult, rescore, rows_above
from risf_core.rescore.prompts import readable_name
from risf_core.rescore.record import RECORD_SUFFIX, make_record
from risf_core.rescore.settings import RescoreSettings, prompts_of
from risf_core.rescore.shards import merge_shares, rows_of_share
from risf_core.rescore.support import SupportChoice, build_prototypes, check_encoders, check_evidence, read_support


@dataclass(frozen=True)
class RescoredFile:
    """What was written, and how it came about."""

    out: str
    result: RescoreResult = field(repr=False)
    record: dict[str, Any] = field(repr=False)  # Any: JSON; what is beside the output as well, unless that is a stream


def rescore_file(
    detections: Path | str,
    out: Path | str,
    *,
    to: str | None = None,
    annotations: Path | None = None,
    classes: Path | None = None,
    first_id: int | None = None,
    images: Sequence[Path] = (),
    novel: str | None = None,
    conventions: Conventions | None = None,
    on_unmatched: OnUnmatched = "error",
    support: SupportChoice | None = None,
    encoder: EncoderChoice | None = None,
    settings: RescoreSettings | None = None,
    fusion: Path | None = None,
    apply_thresholds: bool = False,
    cache: Path | None = None,
    processes: Processes | None = None,
    talk: Callable[[str], None] | None = None,
    progress: PhaseProgress | None = None,
) -> RescoredFile | None:
    """Re-score a file of detections (``-``: stdin) and write it to `out` (``-``: stdout), a record beside it.

    Args:
        to: the form to write; None: the form that came in where it is written, else a COCO results list.
        annotations, classes, first_id, images, novel, conventions, on_unmatched: as `read_inputs` has them.
        support: a few boxes of each class, where `settings.evidence` asks for them.
        fusion: a file that `risf tune` wrote, used in place of the formula and its alpha.
        apply_thresholds: drop the rows that score below their class's threshold in that file.
        cache: a folder in which embeddings are kept for the next run.
        processes: this process among those that share the images; all but the first return None.
        talk: called with lines on what was read, before the work.

    Raises a RisfError before the encoder is loaded where the input is at fault.
    """
    start = time.perf_counter()
    encoder, settings = encoder or EncoderChoice(), settings or RescoreSettings()
    processes = processes or Processes()
    arguments = {
        "detections": detections,
        "out": out,
        "to": to,
        "annotations": annotations,
        "classes": classes,
        "first_id": first_id,
        "images": images,
        "novel": novel,
        **asdict(conventions or Conventions()),
        "on_unmatched": on_unmatched,
        **asdict(support or SupportChoice()),
        **asdict(encoder),
        "fusion": fusion,
        "apply_thresholds": apply_thresholds,
        "cache": cache,
    }
    files = {
        "detections": Path(detections),
        "annotations": annotations,
        "classes": classes,
        "clip_config": encoder.clip_config,
        "fusion": fusion,
        "support": support.support if support is not None else None,
    }
    if processes.count > 1 and str(detections) == STANDARD_STREAM:
        raise ConfigError("several processes cannot read stdin; write the detections to a file and name it")
    outputs = {"out": out, "record": None if is_stream(out) else f"{out}{RECORD_SUFFIX}"}
    weights = [encoder.clip_weights, support.support_weights if support is not None else None]
    check_outputs(outputs, inputs=[*files.values(), *weights, novel, *images, cache])
    saved, settings = _read_saved(fusion, settings, apply_thresholds=apply_thresholds)
    check_evidence(settings.evidence, support)
    check_encoders(encoder, settings.evidence, support)
    if saved is not None:
        settings = saved.completed(settings)
    inputs = read_inputs(
        detections,
        annotations=annotations,
        classes=classes,
        first_id=first_id,
        images=images,
        need_photos=settings.evidence != "none",
        novel=novel,
        conventions=conventions,
        on_unmatched=on_unmatched,
        class_agnostic=settings.class_agnostic,
    )
    vocabulary = inputs.vocabulary
    form = writable_form(to) if to is not None else inputs.file.form if inputs.file.form.write else COCO
    if form.needs_sizes:
        inputs = inputs.with_sizes_of_photos()
    form.check_output(out, inputs.file.output)
    prompts_of(vocabulary, settings)
    shots = read_support(support, vocabulary, novel=novel)

    # torch and open_clip take seconds to import: faults of the input above are reported without them
    encoders = open_encoders(
        encoder,
        support,
        settings.evidence,
        crops=len(inputs.file.detections),
        cache=cache,
        some_crops=partial(some_crops, inputs.file.detections, inputs.photos, settings),
        span_machines=processes.span_machines,
        talk=talk,
    )
    settings = encoders.completed(settings)
    if talk is not None:
        if settings.keep_parts and not form.keeps_keys:
            talk(f"{form.title}: no room for score_detector, score_clip and clip_names; `to=coco` keeps them")
        for line in _lines(inputs, encoders, settings):
            talk(line)
    prototypes = None
    if shots is not None:
        asked_of_shots = encoders.through_cache(encoders.of_shots or encoders.main)
        prototypes = build_prototypes(shots, images, encoder=asked_of_shots, progress=progress)
    main, second = encoders.asked()
    known_before = encoders.hits  # among the shots
    if saved is not None:
        conditions = conditions_of(
            encoder_key=encoders.key,
            support_encoder_key=encoders.second_key,
            vocabulary=vocabulary,
            settings=settings,
            prototypes=prototypes,
        )
        check_fusion(saved, conditions)
    fitted = None if saved is None else saved.fusion
    share = rows_of_share(inputs.file.detections, processes)
    part = rescore(
        inputs.file.detections[share],
        vocabulary=vocabulary,
        encoder=main,
        support_encoder=second,
        photos=inputs.photos,
        settings=settings,
        prototypes=prototypes,
        fitted=fitted,
        progress=None if progress is None else lambda done, total: progress("re-scoring", "crops", done, total),
    )
    shares = gather_to_first((share, part, encoders.hits - known_before), processes)
    if shares is None:
        return None  # the first process writes for all
    result = merge_shares(inputs.file.detections, [(rows, done) for rows, done, _ in shares])
    below = None
    if apply_thresholds and saved is not None and saved.thresholds is not None:
        below = below_thresholds(result.detections, vocabulary.names, saved.thresholds)
        kept = result.detections[~below]
        result = replace(result, detections=kept, counts=replace(result.counts, above_after=rows_above(kept.scores)))
    record = make_record(
        result,
        settings=settings,
        arguments=arguments,
        vocabulary=vocabulary,
        encoders=encoders,
        inputs=files,
        prototypes=prototypes,
        fitted=fitted,
        below_threshold=None if below is None else int(below.sum()),
        matching=inputs.matching(),
        cache_hits=sum(hits for _, _, hits in shares),
        processes=processes.count,
        seconds=time.perf_counter() - start,
    )
    assert form.write is not None
    form.write(out, inputs.file.with_detections(result.detections).output)
    if outputs["record"] is not None:
        write_json(Path(outputs["record"]), record)
    return RescoredFile(str(out), result, record)


def _read_saved(
    fusion: Path | None, settings: RescoreSettings, *, apply_thresholds: bool
) -> tuple[SavedFusion | None, RescoreSettings]:
    """The fusion of a file, and the settings without evidence where it is a calibration."""
    if fusion is not None:
        settings.check_for_fit()
    saved = None if fusion is None else read_fusion(fusion)
    if apply_thresholds and (saved is None or saved.thresholds is None):
        lacking = "needs `fusion`, a file with thresholds" if fusion is None else f"finds no thresholds in {fusion}"
        raise ConfigError(
            f"`apply_thresholds` {lacking}; risf tune writes them when asked for a precision, or for the best F1 or LRP"
        )
    if saved is not None and isinstance(saved.fusion, Calibration):
        if settings.relabel or settings.budget is not None:
            stated = f"relabel={settings.relabel}" if settings.relabel else f"budget={settings.budget}"
            raise ConfigError(f"`fusion` {saved.path}: is a calibration, which asks no encoder; leave out `{stated}`")
        return saved, replace(settings, evidence="none")
    if settings.evidence == "none":
        raise ConfigError("`evidence=none` needs `fusion`, a file that `risf tune` wrote with `evidence=none`")
    return saved, settings


def _lines(inputs: RescoreInputs, encoders: Encoders, settings: RescoreSettings) -> Iterator[str]:
    """What was matched and what is about to be done."""
    found = inputs.found
    yield f"read {counted(len(inputs.file.detections), 'detection')} of {counted(len(inputs.vocabulary), 'class')}"
    if found.photos:
        yield f"found {counted(len(found.photos), 'photo')} by {' and '.join(found.ways)}"
    yield from encoder_lines(encoders, settings)
    said = {name: readable_name(name, settings.aliases) for name in inputs.vocabulary.names}
    changed = [f"{name} -> {text}" for name, text in said.items() if text != name]
    if changed:
        yield f"in prompts: {listing(changed, most=8)} (`alias=NAME=TEXT` changes that)"
