"""What a fitted fusion does to photos that it was not fitted to, beside the detector and the paper's formula.

python benchmarks/tune.py FOLDER [--draws 20] [--cache DIR] [--noise]

Repeated random splits of a folder of labelled photos (instances.json, photos/, detections/*.json, clip_standin/): the
whole of `risf tune` on n photos, evaluated on the rest. Beside it what a judge would add who knew which rows are right
(of their class, overlap 0.5) and put them all before the others. The fit is made of names, of names with 5 shots a
class (none of a crop's own photo), of names with the whole photo, and with texts that the labels choose. Then
prototypes from 5 shots for classes whose names are nonsense, and how long a fit to 100,000 rows takes. --noise adds
harder detectors, made of the strong file by moving classes and scores, and an encoder that knows nothing. AP
differences to the detector, in points.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from risf_core.choices import DEFAULT_CLIP
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.datasets.index import DatasetIndex
from risf_core.detections import Detections
from risf_core.devices import choose_precision
from risf_core.encoder.cache import EmbeddingCache
from risf_core.encoder.cached import CachedEncoder
from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.protocol import CropEncoder
from risf_core.encoder.weights import find_encoder
from risf_core.errors import counted
from risf_core.evaluation import evaluate, read_ground_truth
from risf_core.rescore.evidence import Evidence
from risf_core.rescore.gathering import gather_evidence
from risf_core.rescore.inputs import RescoreInputs, read_inputs
from risf_core.rescore.pipeline import rescore
from risf_core.rescore.prototypes import make_prototypes
from risf_core.rescore.settings import RescoreSettings
from risf_core.tuning.cross_validation import apply, formula, images_of
from risf_core.tuning.fitting import fit_fusion, fit_terms
from risf_core.tuning.labels import LabelledRows
from risf_core.tuning.texts import Remembering, TextChoices, try_texts
from risf_core.tuning.tune import fit_labelled, labelled_rows
from risf_core.vocabulary import COCO_NOVEL

COUNTS = (5, 10, 20, 50)
FILES = {"strong": "yolox_nano.json", "weak": "yolox_nano_weak.json"}
NOISES = {"noise 0.5": 0.5, "noise 1": 1.0, "noise 2": 2.0}  # standard deviations of the class logits
SETTINGS = RescoreSettings()
VOICES = {
    "text": SETTINGS,
    "both": replace(SETTINGS, evidence="both"),
    "text+photo": replace(SETTINGS, evidence="text+photo"),
    "texts auto": SETTINGS,
}


@dataclass(frozen=True)
class Detector:
    """A detections file with its evidence, by each voice."""

    name: str
    detections: Detections
    by_voice: Mapping[str, LabelledRows]

    @property
    def rows(self) -> LabelledRows:
        """With the evidence of names."""
        return self.by_voice["text"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="FOLDER", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--cache", type=Path, default=Path(".benchmark_cache"))
    parser.add_argument("--noise", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    data: Path = arguments.data
    (config,) = (data / "clip_standin").glob("*.json")
    source = find_encoder(DEFAULT_CLIP, weights=data / "clip_standin" / "open_clip_model.safetensors", config=config)
    encoder = CachedEncoder(
        OpenClipEncoder(source, precision=choose_precision("auto", "cpu")), EmbeddingCache(arguments.cache)
    )
    truth = read_ground_truth(data / "instances.json")
    truth = truth.with_vocabulary(truth.vocabulary.with_novel(COCO_NOVEL))
    index = DatasetIndex(truth.vocabulary, truth.images_by_id)
    inputs = {
        name: read_inputs(data / "detections" / file, annotations=index, images=[data / "photos"], novel="coco20")
        for name, file in FILES.items()
    }
    detectors = [detector(name, own.file.detections, own, truth, encoder) for name, own in inputs.items()]
    if arguments.noise:
        strong = inputs["strong"]
        for seed, (name, deviation) in enumerate(NOISES.items()):
            detectors.append(detector(name, noisy(strong.file.detections, deviation, seed), strong, truth, encoder))
        detectors += [ignorant(own) for own in detectors[:2]]
    for own in detectors:
        report(own, truth, draws=arguments.draws)
    report_prototypes(inputs["weak"], data, truth, encoder, draws=arguments.draws)
    report_seconds(detectors[list(FILES).index("weak")].rows, count=100_000)


def detector(
    name: str, detections: Detections, inputs: RescoreInputs, truth: AnnotatedDataset, encoder: CropEncoder
) -> Detector:
    """The detections with what the encoder says of them, asked once for all draws."""
    encoder, photos = Remembering(encoder), inputs.photos
    shots = np.concatenate(list(five_shots(truth.labels, truth.usable, 0)))
    prototypes = make_prototypes(truth.select(np.sort(shots)), photos=photos, encoder=encoder)
    by_voice = {}
    for voice, settings in VOICES.items():
        gathered = gather_evidence(
            detections,
            vocabulary=truth.vocabulary,
            encoder=encoder,
            photos=photos,
            settings=settings,
            prototypes=prototypes if settings.asks_shots else None,
        )
        by_voice[voice] = labelled_rows(detections, truth, gathered, settings=settings)
    auto = by_voice["texts auto"]
    trial = try_texts(
        detections,
        auto.right,
        auto.images,
        TextChoices(),
        evidence=auto.evidence,
        vocabulary=truth.vocabulary,
        encoder=encoder,
        photos=photos,
        settings=SETTINGS,
    )
    by_voice["texts auto"] = replace(auto, texts=trial)
    return Detector(name, detections, by_voice)


def noisy(detections: Detections, deviation: float, seed: int) -> Detections:
    """The same boxes by a detector whose class logits are noisier: each box with its five best classes of 80.

    The logit of the row's own class is that of its score, the others lie 4 to 8 below it; all get normal noise.
    """
    generator = np.random.default_rng([7, seed])
    classes = int(detections.labels.max()) + 1
    own = np.log(detections.scores / (1 - detections.scores))
    logits = own[:, None] - generator.uniform(4, 8, (len(detections), classes))
    logits[np.arange(len(detections)), detections.labels] = own
    scores = 1 / (1 + np.exp(-(logits + generator.normal(0, deviation, logits.shape))))
    labels = np.argsort(-scores, axis=1)[:, :5]
    rows, places = np.nonzero(np.take_along_axis(scores, labels, axis=1) > 0.01)
    chosen = labels[rows, places]
    return Detections.from_rows(detections.image_ids[rows], detections.boxes_xywh[rows], scores[rows, chosen], chosen)


def ignorant(known: Detector) -> Detector:
    """The same detections under an encoder whose answers belong to other rows."""
    evidence = known.rows.evidence
    asked = np.flatnonzero(~np.isnan(evidence.probability))
    shuffled = Evidence.unknown(len(evidence))
    others = np.random.default_rng(3).permutation(asked)
    for column in ("probability", "background", "rank"):
        getattr(shuffled, column)[asked] = getattr(evidence, column)[others]
    rows = replace(known.rows, evidence=shuffled)
    return Detector(f"{known.name}, encoder knows nothing", known.detections, {"text": rows})


def report(own: Detector, truth: AnnotatedDataset, *, draws: int) -> None:
    """The table of one detections file."""
    start = time.perf_counter()
    print(f"\n{own.name}: AP {100 * ap(own.detections, truth):.2f} on all {len(truth.images)} photos")
    heads = ["paper", *own.by_voice, "right first", "text, all photos"]
    print(f"{'fitted on':>9} {'tested':>6} {'detector':>8}" + "".join(f" {head:>16}" for head in heads))
    for count in COUNTS:
        results = np.array([one_draw(own, truth, count, draw) for draw in range(draws)])
        few_left = len(truth.images) - count < len(truth.images) // 2
        pooled = [all_photos(own, truth, count, draw) for draw in range(draws // 2)] if few_left else []
        columns = [*results.T[1:], np.array(pooled)]
        cells = [f"{column.mean():+6.2f} ({column.min():+5.2f})" if len(column) else "" for column in columns]
        left = len(truth.images) - count
        print(
            f"{count:>9} {left:>6} {results[:, 0].mean():>8.2f}" + "".join(f" {cell:>16}" for cell in cells), flush=True
        )
    print(f"mean (worst) of {draws} draws, AP less the detector's; {time.perf_counter() - start:.0f} s")


def one_draw(own: Detector, truth: AnnotatedDataset, count: int, draw: int) -> tuple[float, ...]:
    """AP of the detector on the photos that were not drawn, and what formula, fits and the judge add to it."""
    order = np.random.default_rng([draw, 64]).permutation(len(truth.images))
    rest = images_of(truth, np.sort(order[count:]))
    kept = np.isin(own.rows.images, order[count:])
    table = own.detections[kept]
    ways = [
        formula(own.rows, SETTINGS.alpha, "text"),
        *(fitted_scores(own, truth, order[:count], voice) for voice in own.by_voice),
        (own.rows.right > 0) / 2 + own.rows.scores / 2,
    ]
    before = ap(table, rest)
    after = [ap(table.with_scores(scores[kept]), rest) for scores in ways]
    return 100 * before, *(100 * (figure - before) for figure in after)


def all_photos(own: Detector, truth: AnnotatedDataset, count: int, draw: int) -> float:
    """What fits add on all photos together, each photo scored by a fit to `count` others.

    AP over 14 photos, which is what is left of 64, is another figure than over 64: few classes have more than a box.
    """
    order = np.random.default_rng([draw, 65]).permutation(len(truth.images))
    size = len(order) - count
    scores = own.rows.scores.copy()
    for start in range(0, len(order), size):
        tested = order[start : start + size]
        others = np.setdiff1d(order, tested, assume_unique=True)[:count]
        kept = np.isin(own.rows.images, tested)
        scores[kept] = fitted_scores(own, truth, others, "text")[kept]
    return 100 * (ap(own.detections.with_scores(scores), truth) - ap(own.detections, truth))


def fitted_scores(own: Detector, truth: AnnotatedDataset, photos: np.ndarray, voice: str) -> np.ndarray:
    """The scores of all rows by what `risf tune` fits to some photos."""
    photos = np.sort(photos)
    drawn = np.isin(own.rows.images, photos)
    rows = own.by_voice[voice][drawn]
    rows = replace(rows, images=np.searchsorted(photos, rows.images))
    tuned = fit_labelled(
        own.detections[drawn], rows, images_of(truth, photos), settings=VOICES[voice], resamples=0, alphas=(1.0,)
    )
    return apply(tuned.fusion, own.by_voice[voice].saying(tuned.texts))


def report_prototypes(
    inputs: RescoreInputs, data: Path, truth: AnnotatedDataset, encoder: CropEncoder, *, draws: int
) -> None:
    """5 shots a class from half of the photos; the other half re-scored by names, by nonsense names, by shots."""
    boxes = read_coco_dataset(data / "instances.json")
    nonsense = replace(
        truth.vocabulary, names=tuple(f"part no. {4711 + 13 * label}" for label in range(len(truth.vocabulary))),
        novel=frozenset(),
    )  # fmt: skip
    table = inputs.file.detections
    gains = []
    for draw in range(draws):
        order = np.random.default_rng([draw, 66]).permutation(len(truth.images))
        half = order[: len(order) // 2]
        shots = np.concatenate(
            list(five_shots(boxes.labels, np.isin(boxes.image_positions, half) & boxes.usable, draw))
        )
        support = boxes.select(np.sort(shots))
        with_shots = np.unique(support.labels)
        tested = np.array([list(truth.images_by_id)[position] for position in order[len(half) :]])
        kept = table[np.isin(table.image_ids, tested) & np.isin(table.labels, with_shots)]
        rest = images_of(truth, np.sort(order[len(half) :]))
        prototypes = make_prototypes(support, photos=inputs.photos, encoder=encoder)
        ways = [
            (truth.vocabulary, SETTINGS, None),
            (nonsense, SETTINGS, None),
            (nonsense, replace(SETTINGS, evidence="support"), prototypes),
            (truth.vocabulary, replace(SETTINGS, evidence="both"), prototypes),
        ]
        scores = [
            rescore(kept, vocabulary=names, encoder=encoder, photos=inputs.photos, settings=settings, prototypes=shown)
            for names, settings, shown in ways
        ]
        before = mean_ap(kept, rest, with_shots)
        gains.append([before, *(mean_ap(result.detections, rest, with_shots) - before for result in scores)])
    before, names, nothing, shown, both = 100 * np.mean(gains, axis=0)
    print(f"\nprototypes, {draws} draws: weak file, up to 5 shots a class from 32 photos, AP on the other 32 over the")
    print(f"classes with shots: detector {before:.2f}; paper's formula by true names {names:+.2f}, by nonsense names")
    print(f"{nothing:+.2f}, by 5 shots {shown:+.2f} ({shown / names:.0%} of what true names give), by both {both:+.2f}")


def report_seconds(rows: LabelledRows, *, count: int) -> None:
    """How long a fit takes that chooses its terms, beside a plain one of the terms that it chose."""
    copies = count // len(rows) + 1
    many = rows[np.tile(np.arange(len(rows)), copies)[:count]]
    images = int(rows.images.max()) + 1
    many = replace(many, images=many.images + images * (np.arange(count) // len(rows)))
    start = time.perf_counter()
    fusion = fit_fusion(many, evidence="text", generator=np.random.default_rng(0)).fusion
    chosen = time.perf_counter()
    fit_terms(many, [term.name for term in fusion.terms])
    plain = time.perf_counter()
    print(
        f"\nfit to {count:,} rows: {chosen - start:.2f} s, {(chosen - start) / (plain - chosen):.1f} times a fit of "
        f"the {counted(len(fusion.terms), 'term')} that it chose"
    )


def five_shots(labels: np.ndarray, allowed: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Up to five allowed boxes of each class."""
    generator = np.random.default_rng([seed, 67])
    for label in range(int(labels.max()) + 1):
        yield generator.permutation(np.flatnonzero(allowed & (labels == label)))[:5]


def ap(detections: Detections, truth: AnnotatedDataset) -> float:
    return evaluate(detections, truth).overall["AP"]


def mean_ap(detections: Detections, truth: AnnotatedDataset, labels: np.ndarray) -> float:
    """AP over some of the classes."""
    per_class = evaluate(detections, truth).per_class
    values = [per_class[truth.vocabulary.names[label]]["AP"] for label in labels.tolist()]
    return float(np.mean([value for value in values if value >= 0]))


if __name__ == "__main__":
    main()
