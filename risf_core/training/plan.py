"""What a training is asked for: from a person's choice to the settings in force, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from risf_core.choices import Engine, PrecisionChoice, Setting
from risf_core.config import ConfigInForce, find_config, read_config
from risf_core.detector.architecture import TIMM, architecture_named
from risf_core.errors import CheckpointError, ConfigError, listing
from risf_core.splits.classes import VOC_SETS
from risf_core.splits.folder import SplitFolder, find_split
from risf_core.training.data_sets import TrainingData, read_training_data

FRESH = Path("none")  # as weights: start from none


KEYS = {  # of the config, by the field of a choice that sets them
    "split": "data.split",
    "coco": "data.coco",
    "images": "data.images",
    "held_out": "data.held_out",
    "novel": "data.novel",
    "shots": "data.shots",
    "split_seed": "data.seed",
    "weights": "model.weights",
    "loss": "loss.preset",
    "seed": "solver.seed",
    "engine": "solver.engine",
    "device": "solver.device",
    "precision": "solver.precision",
    "workers": "data.workers",
}


@dataclass(frozen=True)
class TrainingChoice:
    """What a person chooses for a training; what is None is as the config says."""

    config: str | None = None  # a file, or a published config by its name; None: the published one that fits
    overrides: tuple[str, ...] = ()  # section.key=value; they beat all else
    generalised: bool = False  # train base and novel classes
    split: Path | None = None
    coco: tuple[Path, ...] = ()  # instead of a split
    images: tuple[Path, ...] = ()
    held_out: Path | None = None
    novel: str | None = None
    shots: int | None = None
    split_seed: int | None = None
    weights: Path | None = None  # `FRESH` for none
    loss: str | None = None
    seed: int | None = None
    engine: Engine | None = None
    device: str | None = None
    precision: PrecisionChoice | None = None
    workers: int | None = None

    def stated(self) -> Mapping[str, tuple[str, Any]]:  # Any: of any field's type
        """Key of the config -> the field that states it, and the value; COCO files beat the split."""
        left_out = {"split"} if self.coco else set()
        left_out |= {"weights"} if self.weights == FRESH else set()
        stated: dict[str, tuple[str, Any]] = {}
        if self.generalised:
            stated["data.setting"] = ("`generalised`", "generalised")
        for name, key in KEYS.items():
            value = getattr(self, name)
            if name not in left_out and value not in (None, ()):
                # a tuple as YAML would give it
                stated[key] = (f"`{name}`", [str(part) for part in value] if isinstance(value, tuple) else value)
        return stated


@dataclass(frozen=True)
class TrainingPlan:
    """A training that can begin."""

    config: ConfigInForce
    folder: Path  # of the run
    split: SplitFolder | None  # that of the config, where it is open already


def plan_base_training(choice: TrainingChoice, out: Path) -> TrainingPlan:
    """Base training as chosen. Raises ConfigError where the config is of another stage or names no weights."""
    plan = _plan(choice, "base", out)
    values = plan.config.values
    if values.model.weights is None and choice.weights != FRESH and values.model.architecture.startswith(TIMM):
        from risf_core.detector.timm_weights import published_weights

        weights = published_weights(values.model.architecture)
        config = plan.config.with_values({"model.weights": weights}, origin="published with model.architecture")
        plan = replace(plan, config=config)
        values = plan.config.values
    if values.data.setting != "base":
        raise ConfigError(f"the config is of the {values.data.setting} setting; risf finetune runs that")
    if values.model.weights is None and choice.weights != FRESH and not values.model.architecture.startswith("small"):
        raise ConfigError(
            "base training needs `weights`: MSRA's R-101.pkl, in the published layout "
            f"datasets/ImageNetPretrained/MSRA/R-101.pkl; `weights={FRESH}` starts from fresh weights"
        )
    return plan


def plan_finetuning(choice: TrainingChoice, out: Path | None = None) -> TrainingPlan:
    """The few-shot stage as chosen, in `out` (default: runs/fsod; of the generalised setting runs/gfsod).

    Raises ConfigError where the config is of the base setting, or names no shots or no weights.
    """
    plan = _plan(choice, "gfsod" if choice.generalised else "fsod", out)
    data, weights = plan.config.values.data, plan.config.values.model.weights
    if data.setting == "base":
        raise ConfigError("the config is of the base setting; risf base-train runs that")
    if data.shots is None and not data.coco:
        split = plan.split if plan.split is not None and plan.split.path == data.split else None
        held = "" if split is None else f": {listing(split.shots, most=10)}"
        raise ConfigError(f"fine-tuning needs `shots`, one of the counts that the split holds{held}")
    if weights is None:
        raise ConfigError(
            "fine-tuning needs `weights` to start from; run risf base-train first (its run in runs/base is found by "
            "itself), or name a checkpoint"
        )
    return plan


def _plan(choice: TrainingChoice, stage: str, out: Path | None) -> TrainingPlan:
    split = find_split(choice.split) if choice.split is not None and not choice.coco else None
    name = choice.config or published_config_name(split, choice.novel, stage)
    config = read_config(find_config(name), overrides=choice.overrides, options=choice.stated())
    if (architecture := config.values.model.architecture) != "auto":
        architecture_named(architecture)
    setting: Setting = config.values.data.setting
    return TrainingPlan(config, out or Path("runs", "gfsod" if setting == "generalised" else "fsod"), split)


def read_plan(plan: TrainingPlan) -> TrainingData:
    """What is trained on. Raises CheckpointError where the weights are not there, else as `read_training_data` does."""
    data, weights = read_training_data(plan.config.values.data, plan.split), plan.config.values.model.weights
    if weights is not None and not weights.exists():
        raise CheckpointError(f"{weights}: there is no such checkpoint; check the path")
    return data


def published_config_name(split: SplitFolder | None, novel: str | None, stage: str) -> str:
    """The published config of a stage: voc's for Pascal VOC, else coco's; without a split the novel set decides."""
    is_voc = novel in VOC_SETS if split is None else split.is_pascal_voc
    return f"{'voc' if is_voc else 'coco'}/{stage}"
