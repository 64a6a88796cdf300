"""The whole of tuning on made images: the seam, the table, the verdict, the ways in which there is too little."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import DataError
from risf_core.evaluation import evaluate
from risf_core.photos import ImageInfo
from risf_core.rescore.evidence import Evidence
from risf_core.rescore.fitted import FittedFusion, Line
from risf_core.rescore.settings import RescoreSettings
from risf_core.tuning import cross_validation
from risf_core.tuning.cross_validation import CrossValidation, Method, apply, formula, images_of
from risf_core.tuning.fitting import Fit, fit_fusion, fit_terms
from risf_core.tuning.labels import LabelledRows, judge
from risf_core.tuning.tune import fit_labelled, verdict_of
from risf_core.vocabulary import ClassVocabulary

NAMES = ClassVocabulary.from_names(("cat", "dog", "cow"), novel=("cow",))
IMAGES = 40
SETTINGS = RescoreSettings()


def made(
    *, knows: float, noise: float = 1.5, seed: int = 0, images: int = IMAGES
) -> tuple[Detections, AnnotatedDataset, np.ndarray]:
    """Images of four boxes, each detected under all three names; what an encoder says of each row's class."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(images), 4)
    boxes = np.array([[60 * (n % 4), 0, 40, 40] for n in range(len(ids))], dtype=float)
    labels = rng.integers(3, size=len(ids))
    infos = [ImageInfo(image_id, None, 100, 300) for image_id in range(images)]
    truth = AnnotatedDataset.from_columns(NAMES, infos, ids, labels, boxes)
    rows = np.repeat(np.arange(len(ids)), 3)
    named = np.tile(np.arange(3), len(ids))
    right = named == labels[rows]
    scores = 1 / (1 + np.exp(-(2.0 * right - 2.5 + rng.normal(0, noise, len(rows)))))
    probability = 1 / (1 + np.exp(-(knows * (4.0 * right - 2.0) + rng.normal(0, 2, len(rows)))))
    return Detections.from_rows(ids[rows], boxes[rows], scores, named), truth, probability


def labelled(
    detections: Detections, truth: AnnotatedDataset, probability: np.ndarray, *, min_score: float = 0.05
) -> LabelledRows:
    evidence = Evidence.unknown(len(detections))
    asked = detections.scores > min_score
    evidence.probability[asked] = probability[asked]
    right, judged = judge(detections, truth, sparse=False)
    return LabelledRows(
        scores=detections.scores,
        evidence=evidence,
        boxes_xywh=detections.boxes_xywh,
        novel=detections.labels == 2,
        rescored_class=np.ones(len(detections), dtype=bool),
        images=detections.image_ids.astype(np.int64),
        right=right,
        judged=judged,
        score_range=(min_score, 1.0),
    )


def ap(detections: Detections, scores: np.ndarray, truth: AnnotatedDataset) -> float:
    return evaluate(detections.with_scores(scores), truth).overall["AP"]


def test_no_ap_is_lost_at_the_seam_between_rows_that_are_re_scored_and_rows_that_are_not() -> None:
    detections, truth, probability = made(knows=1.0)
    assert 50 < (detections.scores <= 0.05).sum() < len(detections) / 2
    train = detections.image_ids < IMAGES // 2
    rest = images_of(truth, np.arange(IMAGES // 2, IMAGES))
    scores = {}
    for min_score in (0.05, 0.0):
        rows = labelled(detections, truth, probability, min_score=min_score)
        scores[min_score] = apply(fit_terms(rows[train], ("text",)), rows)
    tested = detections[~train]
    with_seam, all_rows = scores[0.05][~train], scores[0.0][~train]
    asked = tested.scores > 0.05
    assert ap(tested, with_seam, rest) >= ap(tested[asked], with_seam[asked], rest)  # the rows below only add
    assert ap(tested, with_seam, rest) > ap(tested, tested.scores, rest) + 0.05
    assert ap(tested, with_seam, rest) > ap(tested, all_rows, rest) - 0.03  # that the encoder was not asked, no more


def test_the_table_compares_four_ways_and_the_verdict_follows_it() -> None:
    detections, truth, probability = made(knows=1.0)
    rows = labelled(detections, truth, probability)
    tuned = fit_labelled(detections, rows, truth, settings=SETTINGS, resamples=50)
    by_name = {method.name: method for method in tuned.cross_validation.methods}
    assert list(by_name) == ["detector", "paper, alpha 0.7", "best single alpha", "fitted fusion"]
    assert by_name["detector"].figures["AP"] == ap(detections, detections.scores, truth)
    assert by_name["paper, alpha 0.7"].figures["AP"] == ap(detections, formula(rows, 0.7, "text"), truth)
    assert set(by_name["fitted fusion"].figures) == {"AP", "AP50", "nAP"}
    fitted = by_name["fitted fusion"]
    assert fitted.differences["AP"] == pytest.approx(fitted.figures["AP"] - by_name["detector"].figures["AP"])
    low, high = fitted.intervals["AP"] or (1, 0)
    assert 0 < low < fitted.differences["AP"] < high
    assert tuned.verdict.startswith(f"re-scoring helps this detector: {100 * fitted.differences['AP']:+.1f} AP (95 % +")


def test_an_encoder_that_knows_nothing_leaves_the_detectors_order_and_is_said_to() -> None:
    detections, truth, probability = made(knows=0.0, seed=3)
    rows = labelled(detections, truth, probability)
    tuned = fit_labelled(detections, rows, truth, settings=SETTINGS, resamples=0)
    assert tuned.fusion.terms == ()
    assert tuned.verdict.startswith("re-scoring does not help this detector: keep its scores")
    assert ap(detections, apply(tuned.fusion, rows), truth) == ap(detections, detections.scores, truth)


@pytest.mark.parametrize("count", [10, 20])
@pytest.mark.parametrize("answers", ["of each crop", "of each class"])
def test_a_random_encoder_costs_less_than_a_twentieth_of_a_point_of_ap(count: int, answers: str) -> None:
    """In the mean of fits to `count` photos, on others; without the say of held-out AP, which comes on top."""
    changes = []
    for seed in range(60):
        detections, truth, _ = made(knows=0.0, seed=seed, images=100)
        rng = np.random.default_rng([seed, 5])
        by_class = rng.normal(0, 2, 3)[detections.labels] + rng.normal(0, 0.3, len(detections))
        log_odds = by_class if answers == "of each class" else rng.normal(0, 2, len(detections))
        rows = labelled(detections, truth, 1 / (1 + np.exp(-log_odds)))
        train = rows.images < count
        fusion = fit_fusion(rows[train], evidence="text", generator=np.random.default_rng(0)).fusion
        change = 0.0
        if fusion.terms:
            rest, tested = images_of(truth, np.arange(count, 100)), detections[~train]
            change = ap(tested, apply(fusion, rows)[~train], rest) - ap(tested, tested.scores, rest)
        changes.append(change)
    assert abs(np.mean(changes)) < 0.0005


def test_a_fit_makes_scores_that_are_as_often_right_as_they_say() -> None:
    detections, truth, probability = made(knows=1.0)
    rows = labelled(detections, truth, probability)
    train = detections.image_ids < IMAGES // 2
    scores = apply(fit_terms(rows[train], ("text",)), rows)[~train]
    right = rows.right[~train]
    assert scores.mean() == pytest.approx(right.mean(), abs=0.06)
    sure = scores > 0.8
    assert right[sure].mean() == pytest.approx(scores[sure].mean(), abs=0.12)


def test_the_same_seed_gives_the_same_fit_and_table() -> None:
    detections, truth, probability = made(knows=1.0)
    rows = labelled(detections, truth, probability)
    runs = [fit_labelled(detections, rows, truth, settings=SETTINGS, seed=5, resamples=10) for _ in range(2)]
    assert runs[0] == runs[1]


def test_each_image_is_scored_by_a_fit_that_did_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    detections, truth, probability = made(knows=1.0)
    rows = labelled(detections, truth, probability)
    seen: dict[int, set[int]] = {}  # of each fit
    scored: list[int] = []

    def fit(rows: LabelledRows, **options: object) -> Fit:
        found = fit_fusion(rows, **options)
        seen[id(found.fusion)] = set(rows.images.tolist())
        kept.append(found)  # so that no other has its id
        return found

    def score(fusion: FittedFusion, rows: LabelledRows) -> np.ndarray:
        assert not seen[id(fusion)] & set(rows.images.tolist())
        assert len(seen[id(fusion)]) >= 0.8 * IMAGES
        scored.extend(rows.images.tolist())
        return apply(fusion, rows)

    kept: list[Fit] = []
    monkeypatch.setattr(cross_validation, "fit_fusion", fit)
    monkeypatch.setattr(cross_validation, "apply", score)
    cross_validation.cross_validate(detections, rows, truth, evidence="text", seed=0, resamples=0)
    assert sorted(scored) == sorted(rows.images.tolist())


def test_a_fit_that_lowers_held_out_ap_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    detections, truth, probability = made(knows=1.0)
    rows = labelled(detections, truth, probability)
    methods = (*[method(0.0, None)] * 3, method(-0.02, None))
    falls = CrossValidation(5, methods, (), (-0.02, -0.03, -0.02, -0.01, -0.02))
    monkeypatch.setattr(import_module("risf_core.tuning.tune"), "cross_validate", lambda *arguments, **options: falls)
    tuned = fit_labelled(detections, rows, truth, settings=SETTINGS)
    assert [admission.admitted for admission in tuned.admissions][:1] == [True]  # by its log-loss
    assert tuned.fusion.terms == ()
    assert tuned.verdict.startswith("re-scoring does not help this detector: keep its scores")


def method(gain: float, reach: tuple[float, float] | None) -> Method:
    return Method("any", {"AP": 0.3 + gain}, {"AP": gain}, {"AP": reach})


@pytest.mark.parametrize(
    ("gain", "reach", "words"),
    [
        (0.081, (0.05, 0.11), "re-scoring helps this detector: +8.1 AP (95 % +5.0 to +11.0) on photos it was not"),
        (0.004, (-0.002, 0.01), "re-scoring hardly matters to this detector: +0.4 AP (95 % -0.2 to +1.0) on photos"),
        (
            0.065,
            (-0.035, 0.166),
            "so few photos do not tell whether re-scoring helps this detector: +6.5 AP (95 % -3.5",
        ),
        (-0.02, (-0.03, -0.01), "re-scoring harms this detector: -2.0 AP (95 % -3.0 to -1.0) on photos it was not"),
        (
            0.06,
            None,
            "re-scoring changes this detector: +6.0 AP on photos it was not fitted to, whether that is chance",
        ),
    ],
)
def test_the_verdict_in_words(gain: float, reach: tuple[float, float] | None, words: str) -> None:
    detections, truth, probability = made(knows=1.0)
    fusion = fit_terms(labelled(detections, truth, probability), ("text",))
    methods = (method(0.0, None), method(-0.007, None), method(0.0, None), method(gain, reach))
    validation = CrossValidation(5, methods, (1.0,) * 5, (gain,) * 5)
    assert verdict_of(fusion, validation, images=64).startswith(words)
    end = "; keep its scores" if "harms" in words else "; the paper's formula would do -0.7 AP"
    assert verdict_of(fusion, validation, images=64).endswith(end)
    sure = replace(validation, methods=(methods[0], method(0.12, (0.006, 0.234)), *methods[2:]))
    if "harms" not in words:
        assert verdict_of(fusion, sure, images=64).endswith(
            "; the paper's formula helps: +12.0 AP (95 % +0.6 to +23.4)"
        )
    without = FittedFusion(Line(), Line(), Line())
    assert verdict_of(without, validation, images=64).startswith("re-scoring does not help this detector: keep its")
    # a narrow interval of a few photos is no knowledge
    doubt = "so few photos do not tell whether re-scoring helps" if "hardly" in words else words
    assert verdict_of(fusion, validation, images=6).startswith(doubt)
    assert verdict_of(without, validation, images=6).startswith("so few photos do not show that re-scoring helps this")


def test_held_out_ap_overrules_a_fit_only_where_it_falls_clearly() -> None:
    spread = np.array([-2, -1, 0, 1, 2]) / 100  # standard error of the mean: 0.01 / sqrt(2)
    bound = 2.776 * 0.01 / np.sqrt(2)  # Student's t for 4 degrees of freedom, two-sided 95 %: any table of it
    for pooled, fall, speaks in ((-0.01, 1.01, True), (-0.01, 0.99, False), (0.01, 1.01, False)):
        methods = (*[method(0.0, None)] * 3, method(pooled, None))
        validation = CrossValidation(5, methods, (), tuple(spread - fall * bound))
        assert validation.speaks_against is speaks


def test_too_little_to_learn_from_is_one_line() -> None:
    detections, truth, probability = made(knows=1.0)
    rows = labelled(detections, truth, probability)
    with pytest.raises(DataError) as refused:
        fit_labelled(detections, replace(rows, images=np.zeros(len(rows), dtype=np.int64)), truth, settings=SETTINGS)
    assert str(refused.value).startswith("1 labelled image with detections to judge and to re-score; a fit needs")
    with pytest.raises(DataError) as refused:
        fit_labelled(detections, replace(rows, right=np.zeros(len(rows))), truth, settings=SETTINGS)
    assert "is right (same class, overlap 0.5): do annotations and detections belong together?" in str(refused.value)
