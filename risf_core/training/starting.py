"""The model that a run starts from: weights of any published form, with the head that its classes need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from risf_core.config import Config, LossConfig, ModelConfig
from risf_core.datasets.index import read_coco_index
from risf_core.detector.architecture import Architecture, TimmC4, architecture_named
from risf_core.detector.backbone import recompute_activations
from risf_core.detector.checkpoint import Checkpoint, read_checkpoint
from risf_core.detector.freezing import freeze_for_base, freeze_for_few_shot
from risf_core.detector.model import Detector, build_detector
from risf_core.detector.weights import load_weights
from risf_core.errors import CheckpointError, ConfigError, counted
from risf_core.heads import drop_head, extend_head
from risf_core.losses import LOSS_PRESETS, BnrlSettings, bnrl_of
from risf_core.vocabulary import ClassVocabulary, read_class_names

_HEAD_SEED, _MODEL_SEED = 1, 0  # apart from each other, whatever the run's seed


@dataclass(frozen=True)
class Start:
    """The model at iteration 0, and what was done to get it, in words."""

    model: Detector
    notes: tuple[str, ...]


def starting_model(config: Config, vocabulary: ClassVocabulary, *, whole: ClassVocabulary) -> Start:
    """The model of a run's classes, frozen as its stage asks.

    Without weights all are fresh. From a backbone alone (ImageNet) the rest is fresh. From a detector, base training
    and the few-shot setting take all but a fresh head; the generalised setting keeps the rows of the classes that it
    shares by name, and draws the others. Raises CheckpointError.

    Args:
        whole: the base and novel classes of the split, by which weights that do not name their classes are understood.
    """
    settings = config.model
    checkpoint = (
        read_checkpoint(settings.weights, architecture=settings.architecture) if settings.weights is not None else None
    )
    architecture = _with_settings(_architecture(settings, checkpoint), settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.solver.seed * 2 + _MODEL_SEED)  # modules draw from the global generator alone
        model = build_detector(
            architecture,
            class_count=len(vocabulary),
            rpn_gradient_scale=settings.rpn_gradient_scale,
            rcnn_gradient_scale=settings.rcnn_gradient_scale,
            classifier_dropout=settings.classifier_dropout,
            loss=bnrl_of(loss_settings(config.loss)),
        )
    notes: list[str] = []
    if checkpoint is None:
        notes.append("all weights are fresh: no `weights`")
    elif checkpoint.class_count is None:
        report = load_weights(model, checkpoint, require="backbone")
        notes += [f"{checkpoint.source}: a backbone alone; RPN and heads are fresh", *report.lines()]
    else:
        notes += _load_detector(model, checkpoint, config, vocabulary, whole)
    (freeze_for_few_shot if settings.freeze_res5 else freeze_for_base)(model)
    if settings.activation_checkpointing:
        recompute_activations(model)
    return Start(model, tuple(notes))


def loss_settings(loss: LossConfig) -> BnrlSettings:
    """The numbers of the preset, replaced where the config states others."""
    stated = {name: value for name, value in asdict(loss).items() if name != "preset" and value is not None}
    return replace(LOSS_PRESETS[loss.preset], **stated)


def _architecture(settings: ModelConfig, checkpoint: Checkpoint | None) -> Architecture:
    if settings.architecture == "auto":
        if checkpoint is None:
            raise ConfigError("model.architecture is auto, which is that of the weights: give `weights`")
        return checkpoint.architecture
    named = architecture_named(settings.architecture)
    if checkpoint is not None and checkpoint.architecture.name != named.name:
        raise CheckpointError(
            f"{checkpoint.source}: is {checkpoint.architecture.name}, but model.architecture is {named.name}; "
            "give `model.architecture=auto`, or name other weights"
        )
    return checkpoint.architecture if checkpoint is not None else named


def _with_settings(architecture: Architecture, settings: ModelConfig) -> Architecture:
    """The architecture as the run trains it."""
    if settings.freeze_at is not None:
        architecture = replace(architecture, freeze_at=settings.freeze_at)
    if isinstance(architecture, TimmC4):
        return replace(architecture, drop_path=settings.drop_path)
    if settings.drop_path:
        raise ConfigError(f"model.drop_path is of timm's networks, but model.architecture is {architecture.name}")
    return architecture


def _load_detector(
    model: Detector, checkpoint: Checkpoint, config: Config, vocabulary: ClassVocabulary, whole: ClassVocabulary
) -> list[str]:
    generator = torch.Generator().manual_seed(config.solver.seed * 2 + _HEAD_SEED)
    if config.data.setting == "generalised":
        old = _classes_of(checkpoint, config.model.weights_classes, whole)
        state = extend_head(checkpoint.state, old=old, new=vocabulary.names, generator=generator)
        kept = [name for name in vocabulary.names if name in old]
        if not kept:
            raise CheckpointError(
                f"{checkpoint.source}: none of its {len(old)} classes is among the {len(vocabulary)} to train, so "
                "there is nothing to keep; leave out `generalised`, or name them with `model.weights_classes=FILE`"
            )
        said = f"head of {counted(len(vocabulary), 'class')}: {len(kept)} kept by name, "
        said += f"{len(vocabulary) - len(kept)} fresh"
    else:
        state = drop_head(checkpoint.state, class_count=len(vocabulary), generator=generator)
        said = f"head of {counted(len(vocabulary), 'class')}: fresh"
    report = load_weights(model, replace(checkpoint, state=state), require="all")
    return [f"{checkpoint.source}: {said}", *report.lines()]


def _classes_of(checkpoint: Checkpoint, given: Path | None, whole: ClassVocabulary) -> Sequence[str]:
    """The names of a checkpoint's classes, in the order of its head."""
    if given is not None:
        return read_coco_index(given).vocabulary.names if given.suffix == ".json" else read_class_names(given)
    if checkpoint.vocabulary is not None:
        return checkpoint.vocabulary.names
    for names in (whole.restrict("base").names, whole.names):
        if len(names) == checkpoint.class_count:
            return names
    raise CheckpointError(
        f"{checkpoint.source}: does not state what its {checkpoint.class_count} classes are, and the split has "
        f"{len(whole.labels('base'))} base classes of {len(whole)}; name them with `model.weights_classes=FILE`"
    )
