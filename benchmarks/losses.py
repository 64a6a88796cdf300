"""BNRL against cross-entropy on the demo's made scenes, each at the learning rate and iterations that suit it.

    OMP_NUM_THREADS=1 python -m benchmarks.losses --out FOLDER

One base detector, then few-shot runs of the generalised setting. A photo has one labelled object, as most photos of a
few-shot set of COCO do; the others are there without a label, all of them, half of them, or none. Rate and iterations
are chosen on validation scenes and shots of their own; every figure that is printed is of test scenes that chose
nothing, not the demo's either. A run's figures are written when it ends, so a second start continues.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.demo.backgrounds import as_photographed, draw_background
from risf_core.demo.dataset import CLASSES, make_dataset
from risf_core.demo.drawing import draw_thing
from risf_core.demo.scenes import Scene, SceneSettings, _box_of, _mask_in, composed, draw_scene
from risf_core.demo.things import BASE, NOVEL
from risf_core.demo.weights import packaged_files
from risf_core.detector.prediction_inputs import PhotoChoice
from risf_core.detector.run import DetectorChoice, predict_to_file
from risf_core.encoder.choice import EncoderChoice
from risf_core.engines.train import train
from risf_core.evaluation.aggregate import Spread
from risf_core.evaluation.run import EvaluationSettings, evaluate_files
from risf_core.files import read_json, write_json, write_text
from risf_core.losses import LOSS_PRESETS, BnrlSettings
from risf_core.rescore.run import rescore_file
from risf_core.rescore.settings import RescoreSettings
from risf_core.training.plan import TrainingChoice, plan_base_training, plan_finetuning
from risf_core.training.saving import FINAL

BNRL, CROSS_ENTROPY = LOSS_PRESETS["paper"], LOSS_PRESETS["cross-entropy"]
BASE_SCENES, VALIDATION_SCENES, TEST_SCENES = 101, 102, 103  # seeds; the demo's scenes are of 100
SHOTS = 5
RATES, ITERATIONS = (0.05, 0.1, 0.2, 0.4), (60, 120)
CHOICE_SEEDS, TEST_SEEDS = (100, 101, 102), (0, 1, 2, 3, 4)  # of shots, fresh weights and order
ABLATION_SEEDS = TEST_SEEDS[:3]
FINALISTS = 2  # settings of a loss that are tried on all of CHOICE_SEEDS
SHARES = (1.0, 0.0, 0.5)  # of a photo's other objects that are in it
ABLATION = {
    "alpha 0.5": replace(BNRL, alpha=0.5),
    "alpha 1": replace(BNRL, alpha=1.0),
    "gamma 0": replace(BNRL, gamma=0.0),
    "gamma 2": replace(BNRL, gamma=2.0),
    "epsilon 0": replace(BNRL, epsilon=0.0),
    "epsilon 2": replace(BNRL, epsilon=2.0),
    "background weight 0.5": replace(BNRL, background_weight=0.5),
    "background weight 1": replace(BNRL, background_weight=1.0),
    "cross-entropy, background weight 0.2": LOSS_PRESETS["released"],
}
FIGURES = ("nAP", "bAP", "nAR100", "novel LaECE0", "base LaECE0", "nAP after CM-CLIP")
SCALE = (
    "data.short_sides=[288]",
    "data.long_side=480",
    "solver.scale_schedule=false",
    "solver.batch=4",
    "solver.images_per_step=4",
    "data.workers=0",
    "solver.device=cpu",
)

Figures = dict[str, float]


@dataclass(frozen=True)
class Run:
    """One few-shot run and the scenes it is measured on."""

    loss: BnrlSettings
    rate: float
    iterations: int
    seed: int
    share: float = 1.0  # of the unlabelled objects that are in the photos
    scenes: int = TEST_SCENES


class Results:
    """The figures of finished runs, a line of JSON each."""

    def __init__(self, folder: Path, sizes: argparse.Namespace) -> None:
        self.folder, self.sizes, self._file = folder, sizes, folder / "runs.jsonl"
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self.known: dict[Run, Figures] = {}
        for line in map(json.loads, lines):
            self.known[Run(**{**line["run"], "loss": BnrlSettings(**line["run"]["loss"])})] = line["figures"]

    def of(self, run: Run, *, wanted: bool = True) -> Figures | None:
        """The figures of a run, which runs now where it has not yet and is `wanted`."""
        if run not in self.known and wanted:
            start = time.perf_counter()
            figures = measured(self.folder, run, self.sizes)
            self.known[run] = figures
            seconds = round(time.perf_counter() - start)
            with self._file.open("a") as file:
                file.write(json.dumps({"run": asdict(run), "figures": figures, "seconds": seconds}) + "\n")
            print(f"{seconds:4d} s  {run}: nAP {100 * figures['nAP']:.2f}", flush=True)
        return self.known.get(run)


def main() -> None:
    """Run what is not done yet, then print the tables; --table prints those of the runs that are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of scenes, runs and figures")
    parser.add_argument("--base-scenes", type=int, default=500)
    parser.add_argument("--base-iterations", type=int, default=400)
    parser.add_argument("--scenes", type=int, default=100, help="validation scenes, and as many test scenes")
    parser.add_argument("--table", action="store_true", help="run nothing")
    sizes = parser.parse_args()
    sizes.out.mkdir(parents=True, exist_ok=True)
    results = Results(sizes.out, sizes)
    chosen = {name: choose(results, loss, wanted=not sizes.table) for name, loss in losses().items()}
    for share in SHARES[:2]:
        for own in chosen.values():
            several(results, replace(own, share=share), wanted=not sizes.table)
    for seed in ABLATION_SEEDS:
        for loss in ABLATION.values():
            results.of(replace(chosen["BNRL"], loss=loss, seed=seed), wanted=not sizes.table)
    for own in chosen.values():
        several(results, replace(own, share=SHARES[2]), wanted=not sizes.table)
    print_tables(results, chosen)


def losses() -> dict[str, BnrlSettings]:
    """The two that are compared."""
    return {"cross-entropy": CROSS_ENTROPY, "BNRL": BNRL}


def choose(results: Results, loss: BnrlSettings, *, wanted: bool) -> Run:
    """The rate and iterations with the best novel AP on the validation scenes, as a run of the test scenes.

    Rates are doubled until the largest is not the best; the best ones of each schedule are tried in the next longer
    one; the best of all are tried on more shots.
    """
    short, *longer = ITERATIONS
    tried: dict[Run, float] = {}

    def attempt(rate: float, iterations: int) -> None:
        run = Run(loss, rate, iterations, seed=CHOICE_SEEDS[0], scenes=VALIDATION_SCENES)
        if figures := results.of(run, wanted=wanted):
            tried[run] = figures["nAP"]

    def best(count: int) -> list[Run]:
        return sorted(tried, key=lambda run: -tried[run])[:count]

    for rate in RATES:
        attempt(rate, short)
    while wanted and best(1)[0].rate == max(run.rate for run in tried):
        attempt(2 * best(1)[0].rate, short)
    for iterations in longer:
        for rate in {run.rate for run in best(FINALISTS)}:
            attempt(rate, iterations)
    means = {}
    for run in best(FINALISTS):
        of_seeds = several(results, run, CHOICE_SEEDS, wanted=wanted)
        means[run] = np.mean([figures["nAP"] for figures in of_seeds]) if of_seeds else 0.0
    chosen = max(means, key=lambda run: means[run], default=Run(loss, RATES[0], short, 0))
    return replace(chosen, scenes=TEST_SCENES)


def several(results: Results, run: Run, seeds: Sequence[int] = TEST_SEEDS, *, wanted: bool = False) -> list[Figures]:
    """The figures of a run on the seeds, up to the first that is not done."""
    found = (results.of(replace(run, seed=seed), wanted=wanted) for seed in seeds)
    return list(takewhile(bool, found))


def print_tables(results: Results, chosen: dict[str, Run]) -> None:
    """What was chosen; both losses at each share of unlabelled objects; the ablation."""
    for name, run in chosen.items():
        tried = ", ".join(
            f"{other.rate:g} x {other.iterations} (seed {other.seed}): {100 * figures['nAP']:.2f}"
            for other, figures in results.known.items()
            if other.loss == run.loss and other.scenes == VALIDATION_SCENES
        )
        print(f"{name}: rate {run.rate:g}, {run.iterations} iterations; novel AP on validation scenes: {tried}")
    print(f"\n| unlabelled objects in the photos | loss | {' | '.join(FIGURES)} |\n|{'---|' * (2 + len(FIGURES))}")
    for share in SHARES:
        rows = {name: several(results, replace(run, share=share)) for name, run in chosen.items()}
        for name, figures in rows.items():
            print_row([f"{share:.0%}", name], figures)
        print_row([f"{share:.0%}", "difference"], differences(rows["BNRL"], rows["cross-entropy"]))
    print(f"\n| BNRL with | {' | '.join(FIGURES)} |\n|{'---|' * (1 + len(FIGURES))}")
    own = several(results, chosen["BNRL"], ABLATION_SEEDS)
    for name, loss in ABLATION.items():
        changed = several(results, replace(chosen["BNRL"], loss=loss), ABLATION_SEEDS)
        print_row([name], differences(changed, own))


def print_row(cells: Sequence[str], figures: Sequence[Figures]) -> None:
    """Means with 95 % intervals, in percent."""
    if len(figures) > 1:
        spreads = [Spread.of([each[name] for each in figures]) for name in FIGURES]
        cells = [*cells, *(f"{100 * spread.mean:.2f} ± {100 * spread.interval:.2f}" for spread in spreads)]
        print(f"| {' | '.join(cells)} | {len(figures)} seeds")


def differences(ours: Sequence[Figures], theirs: Sequence[Figures]) -> list[Figures]:
    """Paired by seed."""
    return [{name: a[name] - b[name] for name in FIGURES} for a, b in zip(ours, theirs, strict=False)]


def measured(folder: Path, run: Run, sizes: argparse.Namespace) -> Figures:
    """Finetune, predict, evaluate, re-score, evaluate."""
    base = base_run(folder, sizes)
    shots = few_shot_set(folder / f"shots-{run.seed}-{run.share:g}", seed=run.seed, share=run.share)
    choice = TrainingChoice(
        generalised=True,
        coco=(shots,),
        images=(shots.parent / "photos",),
        shots=SHOTS,
        weights=base,
        seed=run.seed,
        overrides=(
            *SCALE,
            *schedule(run.iterations, run.rate),
            "model.classifier_dropout=0.2",
            *(f"loss.{name}={value}" for name, value in asdict(run.loss).items()),
        ),
    )
    trained = folder / "run"
    train(plan_finetuning(choice, trained).config, trained, force=True)
    made = scenes_of(folder, run.scenes, sizes.scenes)
    before, after = folder / "before.json", folder / "after.json"
    novel = novel_names(folder)
    photos = PhotoChoice([made.parent / "photos"], made)
    predict_to_file(before, DetectorChoice(trained, batch_size=4, workers=0, device="cpu"), photos)
    files = [before]
    if run.scenes == TEST_SCENES:
        rescored(folder, made, before, after)
        files.append(after)
    settings = EvaluationSettings(bootstrap=0, errors=True)
    found = evaluate_files(files, annotations=made, novel=str(novel), settings=settings).files
    plain = found[0]
    assert plain.errors is not None
    values: dict[str, float] = {
        **{name: plain.metrics.flat()[name] for name in FIGURES[:3]},
        "novel LaECE0": plain.errors.scores["n"]["LaECE0"],
        "base LaECE0": plain.errors.scores["b"]["LaECE0"],
        "nAP after CM-CLIP": found[-1].metrics.flat()["nAP"],
        "detections": plain.rows,
    }
    return {name: float(value) for name, value in values.items()}


def rescored(folder: Path, made: Path, before: Path, after: Path) -> None:
    """CM-CLIP on the novel classes, with the demo's encoder."""
    config, weights, _ = packaged_files()
    rescore_file(
        before,
        after,
        annotations=made,
        images=[made.parent / "photos"],
        novel=str(novel_names(folder)),
        encoder=EncoderChoice(clip_config=config, clip_weights=weights, device="cpu", precision="fp32", workers=0),
        settings=RescoreSettings(rescore_classes="novel"),
    )


def base_run(folder: Path, sizes: argparse.Namespace) -> Path:
    """Base training on photos whose novel objects have no label; the folder of its run."""
    run = folder / "base"
    if not (run / FINAL).exists():
        made = make_dataset(folder / "base-scenes", train_photos=sizes.base_scenes, test_photos=0, seed=BASE_SCENES)
        content = read_json(made.train, what="annotations")
        kept = {category["id"] for category in content["categories"] if category["name"] in BASE}
        labelled = {
            **content,
            "annotations": [row for row in content["annotations"] if row["category_id"] in kept],
            "categories": [category for category in content["categories"] if category["id"] in kept],
        }
        write_json(made.train.with_name("base.json"), labelled)
        choice = TrainingChoice(
            coco=(made.train.with_name("base.json"),),
            images=(made.photos,),
            weights=packaged_files()[2],
            overrides=(
                *SCALE,
                *schedule(sizes.base_iterations, 0.05),
                "model.architecture=small",
                "solver.warmup_iterations=20",
            ),
        )
        train(plan_base_training(choice, run).config, run, force=True)
    return run


def schedule(iterations: int, rate: float) -> Iterator[str]:
    """The rate falls to a tenth after 80 %."""
    yield f"solver.iterations={iterations}"
    yield f"solver.steps=[{round(0.8 * iterations)}]"
    yield f"solver.learning_rate={rate}"
    yield f"solver.checkpoint_every={iterations}"


def scenes_of(folder: Path, seed: int, count: int) -> Path:
    """Scenes labelled in full."""
    own = folder / f"scenes-{seed}"
    if not (own / "instances.json").exists():
        make_dataset(own, train_photos=0, test_photos=count, seed=seed)
    return own / "instances.json"


def novel_names(folder: Path) -> Path:
    """The list of novel classes."""
    write_text(folder / "novel.txt", "".join(f"{name}\n" for name in NOVEL))
    return folder / "novel.txt"


def few_shot_set(folder: Path, *, seed: int, share: float) -> Path:
    """K photos of each class with one labelled object each; a share of the others is in the photo without a label.

    The same seed gives the same labelled objects before the same backgrounds, whatever the share.
    """
    path = folder / "shots.json"
    if path.exists():
        return path
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng([9, seed])
    settings = SceneSettings(CLASSES, (1.0,) * len(CLASSES))
    left = dict.fromkeys(CLASSES, SHOTS)
    images, annotations = [], []
    while any(left.values()):
        scene = draw_scene(settings, generator)
        backdrop, order = int(generator.integers(2**31)), generator.permutation(len(scene.looks))
        labelled = next((place for place in order.tolist() if left[scene.names[place]]), None)
        if labelled is None:
            continue
        left[scene.names[labelled]] -= 1
        others = [place for place in order.tolist() if place != labelled]
        shown = sorted([labelled, *others[: round(share * len(others))]])
        image, box = photographed(scene, shown, labelled, np.random.default_rng(backdrop))
        number = len(images) + 1
        image.save(folder / "photos" / f"{number}.jpg", quality=90)
        images.append({"id": number, "file_name": f"{number}.jpg", "height": image.height, "width": image.width})
        label = CLASSES.index(scene.names[labelled]) + 1
        annotations.append(
            {"id": number, "image_id": number, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        )
    categories = [{"id": label, "name": own} for label, own in enumerate(CLASSES, 1)]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})
    return path


def photographed(
    scene: Scene, shown: Sequence[int], labelled: int, generator: np.random.Generator
) -> tuple[Any, list[int]]:
    """Some things of a scene before another background, and the box of what is to be seen of one of them."""
    size = scene.image.size[::-1]
    patches = [draw_thing(scene.looks[place]) for place in shown]
    seen, _ = _mask_in(patches[shown.index(labelled)], size)
    for patch in patches[shown.index(labelled) + 1 :]:
        seen &= ~_mask_in(patch, size)[0]
    background = draw_background(size, generator)
    return as_photographed(composed(background, patches), generator), [int(side) for side in _box_of(seen)]


if __name__ == "__main__":
    main()
