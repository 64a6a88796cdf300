"""Fitting a fusion to labelled rows: how much each piece of evidence weighs, and which pieces are let in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import EvidenceKind
from risf_core.rescore.fitted import FittedFusion, Line, Term, log_odds_of, term_columns
from risf_core.rescore.prompts import Texts
from risf_core.tuning.labels import LabelledRows
from risf_core.tuning.regression import fit_offset_logistic
from risf_core.tuning.relabelling import with_added

# Inverse variances of the prior around the detector's own score. Between 1 and 30 the held-out AP of fits to 5 and more
# photos hardly changes. A slope above 1 gives the detector's order more weight beside the evidence: it is nearly free.
# Where scores lie close together, one held near 1 would make too little of them.
WEIGHT_PENALTY = 3.0
SLOPE_PENALTY = 10.0  # below 1
RISE_PENALTY = 0.1  # above
INTERCEPT_PENALTY = 1e-3  # the intercept is not the detector's to know: it holds how often detections are right
SPARSE_FACTOR = 10.0  # how much stronger the pull is where only some objects are labelled

LEAST_SLOPE = 0.05  # of the line without evidence: it must rise, however little the scores say
MOST_ROWS = 6_000  # that terms are chosen by, in whole images; all rows are fitted to
# By how many standard errors evidence must lower the held-out log-loss. A voice that was asked for: half an error on
# few images, which keeps an encoder that knows nothing out more often than it costs one that does; from ten images on
# one and a half, which costs such an encoder nothing; with labels of some objects one. And what may join it.
FEW_IMAGES = 10
FEW_ERRORS, MAIN_ERRORS, SPARSE_ERRORS = 0.5, 1.5, 1.0
MORE_ERRORS = 2.0
FOLDS = 5  # of the inner cross-validation

# the evidence that is fitted first, of each voice the better of its forms, and what may join it
MAIN_TERMS: dict[EvidenceKind, tuple[tuple[str, ...], ...]] = {
    "text": (("text",),),
    "support": (("support", "nearest"),),
    "both": (("text",), ("support", "nearest")),
    "none": (),
    "photo": (("photo",), ("quarters",)),
    "text+photo": (("text",), ("photo",), ("quarters",)),
}
MORE_TERMS: tuple[str, ...] = ("certainty", "background", "rank", "match", "similarity", "size", "novel")


@dataclass(frozen=True)
class Admission:
    """Whether some terms were let in, and what they did to the held-out log-loss."""

    terms: tuple[str, ...]
    gain: float  # log-loss without them minus with them, in nats an image
    error: float  # its standard error over the images
    admitted: bool


@dataclass(frozen=True)
class Fit:
    """A fitted fusion, and how its terms came in."""

    fusion: FittedFusion
    admissions: tuple[Admission, ...]
    texts: Texts | None = None  # that were chosen in the place of the settings' own


def fit_fusion(
    rows: LabelledRows,
    *,
    evidence: EvidenceKind,
    generator: np.random.Generator,
) -> Fit:
    """The fusion of the detector's score with what cross-validation over the images lets in.

    The voices that were asked for come in if they lower the held-out log-loss by more than one and a half standard
    errors (half a one on less than ten images); further terms one by one, the best first, if they lower it by more than
    two. With sparse labels a voice must lower it by more than one, and no further terms come in. Where nothing comes
    in, the fusion keeps the detector's order.
    Texts, where they can be chosen, are let in first. Deterministic: `generator` alone deals the images to folds.
    """
    texts = _chosen_texts(rows, evidence, generator)
    rows = rows.saying(texts)
    judged = rows[rows.judged & ~rows.added]
    asked = _some_images(judged[_asked(judged)], generator)
    images = np.unique(asked.images)
    folds = _folds(asked.images, images, generator)
    admitted: tuple[str, ...] = ()
    admissions = []
    losses = _held_out_losses(asked, (), folds, images)
    errors = _main_errors(rows.sparse, len(images))
    for forms in MAIN_TERMS[evidence]:
        there = [name for name in forms if name == forms[0] or _varies(asked, name)]
        tried = [_candidate(asked, admitted, (name,), folds, images, losses, errors=errors) for name in there]
        candidate, own = max(tried, key=lambda pair: pair[0].gain)
        terms = candidate.terms
        if candidate.admitted and all(weight > 0 for weight in _weights(asked, (*admitted, *terms), terms)):
            admitted, losses = (*admitted, *terms), own
        else:
            candidate = Admission(terms, candidate.gain, candidate.error, admitted=False)
        admissions.append(candidate)
    waiting = [name for name in MORE_TERMS if admitted and not rows.sparse and _varies(asked, name)]
    while waiting:
        tried = [_candidate(asked, admitted, (name,), folds, images, losses, errors=MORE_ERRORS) for name in waiting]
        candidate, own = max(tried, key=lambda pair: pair[0].gain)
        admissions.append(candidate)
        if not candidate.admitted:
            break
        admitted, losses = (*admitted, *candidate.terms), own
        waiting.remove(candidate.terms[0])
    return Fit(fit_terms(rows, admitted), tuple(admissions), texts)


def _chosen_texts(rows: LabelledRows, evidence: EvidenceKind, generator: np.random.Generator) -> Texts | None:
    """The texts that labelled crops choose, if those that other images choose lower the held-out log-loss."""
    if rows.texts is None or (texts := rows.texts.choose()) is None:
        return None
    terms = tuple(forms[0] for forms in MAIN_TERMS[evidence])
    asked = _some_images(rows[rows.judged & _asked(rows)], generator)
    images = np.unique(asked.images)
    folds = _folds(asked.images, images, generator)
    before = _held_out_losses(asked, terms, folds, images)
    after = before.copy()
    for fold in np.unique(folds).tolist():
        others = asked.texts[folds != fold] if asked.texts is not None else None
        own = np.isin(images, asked.images[folds == fold])
        said = asked.saying(None if others is None else others.choose())
        after[own] = _held_out_losses(said, terms, folds, images)[own]
    return texts if _gain(before - after, errors=_main_errors(rows.sparse, len(images)), terms=()).admitted else None


def fit_terms(rows: LabelledRows, terms: Sequence[str]) -> FittedFusion:
    """The fusion of the detector's score with just these terms, and one for rows that were added, if there are any."""
    terms = [name for name in terms if name != "added"]
    judged = rows[rows.judged & ~rows.added]
    own, others = judged[judged.rescored_class], judged[~judged.rescored_class]
    alone = Line() if rows.sparse else _line(own)
    if not terms:
        return FittedFusion(alone, alone, Line() if rows.sparse else _line(others), (), *rows.score_range)
    asked = judged[_asked(judged)]
    line, weights = _regress(asked, terms)
    if rows.sparse:
        line = _neutral(rows[_asked(rows)], weights)
    aside = Line() if rows.sparse else _line(others)
    return with_added(FittedFusion(line, alone, aside, tuple(weights), *rows.score_range), rows)


def _regress(asked: LabelledRows, names: Sequence[str]) -> tuple[Line, list[Term]]:
    """Slope, intercept and weights over rows that the encoder was asked about."""
    columns = _columns(asked, names)
    line, weights, centres = _solve(log_odds_of(asked.scores), columns, asked.right, sparse=asked.sparse)
    pairs = zip(names, weights.tolist(), centres.tolist(), strict=True)
    return line, [Term(name, weight, centre) for name, weight, centre in pairs]


def _solve(
    log_odds: NDArray[np.float64], columns: NDArray[np.float64], right: NDArray[np.float64], *, sparse: bool
) -> tuple[Line, NDArray[np.float64], NDArray[np.float64]]:
    """The line, the weights (P,) and the centres (P,) for columns of evidence (N, P)."""
    centres = _centres(columns)
    design, penalties = _design(log_odds, _about(columns, centres), sparse=sparse)
    found = fit_offset_logistic(design, right, offset=log_odds, penalties=penalties)
    if not sparse and found[1] > 0:  # the loss is convex: with the lesser penalty its minimum lies above 1 too
        penalties[1] = RISE_PENALTY
        found = fit_offset_logistic(design, right, offset=log_odds, penalties=penalties)
    change = 0.0 if sparse else float(found[1])
    weights = found[len(found) - columns.shape[1] :]
    return Line(1.0 + change, float(found[0]) - change * _middle(log_odds)), weights, centres


def _about(columns: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """The columns (N, P) about their centres; 0 where a value is not known."""
    return np.where(np.isnan(columns), 0.0, columns - centres)


def _design(
    log_odds: NDArray[np.float64], evidence: NDArray[np.float64], *, sparse: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The columns (N, P) and their penalties (P,): intercept, change of slope, evidence.

    With sparse labels the slope is the detector's: rows on the background, which would tell of it, are not judged.
    """
    fixed = [np.ones(len(log_odds))] if sparse else [np.ones(len(log_odds)), log_odds - _middle(log_odds)]
    pull = [INTERCEPT_PENALTY] if sparse else [INTERCEPT_PENALTY, SLOPE_PENALTY]
    strength = WEIGHT_PENALTY * (SPARSE_FACTOR if sparse else 1.0)
    return np.column_stack([*fixed, evidence]), np.array([*pull, *[strength] * evidence.shape[1]])


def _some_images(asked: LabelledRows, generator: np.random.Generator) -> LabelledRows:
    """All rows, or those of as many images as hold enough to choose by."""
    if len(asked) <= MOST_ROWS:
        return asked
    images, counts = np.unique(asked.images, return_counts=True)
    order = generator.permutation(len(images))
    enough = int(np.searchsorted(np.cumsum(counts[order]), MOST_ROWS)) + 1
    return asked[np.isin(asked.images, images[order[:enough]])]


def _line(judged: LabelledRows) -> Line:
    """From the log-odds of the score to those of being right, over rows whatever the encoder says of them."""
    if not len(judged):
        return Line()
    line, _ = _regress(judged, ())
    if line.slope >= LEAST_SLOPE:
        return line
    log_odds = log_odds_of(judged.scores)
    found = fit_offset_logistic(
        np.ones((len(judged), 1)),
        judged.right,
        offset=LEAST_SLOPE * log_odds,
        penalties=np.array([INTERCEPT_PENALTY]),
    )
    return Line(LEAST_SLOPE, float(found[0]))


def _neutral(asked: LabelledRows, terms: Sequence[Term]) -> Line:
    """The line under which the evidence moves the log-odds of all rows by 0 in the mean.

    Sparse labels cannot say how often detections are right, so rows without evidence keep the detector's scores, and
    the others are spread around theirs.
    """
    columns = _columns(asked, [term.name for term in terms])
    moves = _about(columns, np.array([term.centre for term in terms])) @ np.array([term.weight for term in terms])
    return Line(1.0, -float(moves.mean()))


def _candidate(
    asked: LabelledRows,
    admitted: tuple[str, ...],
    terms: tuple[str, ...],
    folds: NDArray[np.int64],
    images: NDArray[np.int64],
    losses: NDArray[np.float64],
    *,
    errors: float,
) -> tuple[Admission, NDArray[np.float64]]:
    """What some more terms are worth, and the held-out losses (images,) with them."""
    own = _held_out_losses(asked, (*admitted, *terms), folds, images)
    return _gain(losses - own, errors=errors, terms=terms), own


def _gain(gains: NDArray[np.float64], *, errors: float, terms: tuple[str, ...]) -> Admission:
    """Whether the gains (images,) are beyond their error."""
    gain = float(gains.mean()) if len(gains) else 0.0
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else float("inf")
    # images of one fold share a fit, so a gain of exactly nothing is no gain
    return Admission(terms, gain, error, admitted=gain > errors * error and gain > 1e-9)


def _main_errors(sparse: bool, images: int) -> float:
    return SPARSE_ERRORS if sparse else FEW_ERRORS if images < FEW_IMAGES else MAIN_ERRORS


def _held_out_losses(
    asked: LabelledRows, terms: tuple[str, ...], folds: NDArray[np.int64], images: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The log-loss (images,) of each image's rows under a fit that did not see the image."""
    log_odds, columns, right = log_odds_of(asked.scores), _columns(asked, terms), asked.right
    losses = np.zeros(len(asked))
    for fold in np.unique(folds).tolist():
        train, test = folds != fold, folds == fold
        line, weights, centres = _solve(log_odds[train], columns[train], right[train], sparse=asked.sparse)
        total = line.at(log_odds[test]) + _about(columns[test], centres) @ weights
        losses[test] = np.logaddexp(0.0, total) - right[test] * total
    per_image = np.bincount(np.searchsorted(images, asked.images), weights=losses, minlength=len(images))
    return per_image.astype(np.float64)


def _folds(of_row: NDArray[np.int64], images: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each row (N,), whole images dealt out in turn."""
    dealt = np.empty(len(images), dtype=np.int64)
    dealt[generator.permutation(len(images))] = np.arange(len(images)) % FOLDS
    return dealt[np.searchsorted(images, of_row)]


def _weights(asked: LabelledRows, names: tuple[str, ...], wanted: tuple[str, ...]) -> list[float]:
    """The summed weight of the wanted terms: negative where the encoder would have to be believed in reverse."""
    _, terms = _regress(asked, names)
    return [sum(term.weight for term in terms if term.name in wanted)]


def _varies(asked: LabelledRows, name: str) -> bool:
    column = _columns(asked, (name,))[:, 0]
    known = column[~np.isnan(column)]
    return len(known) > 0 and float(np.ptp(known)) > 0


def _columns(rows: LabelledRows, names: Sequence[str]) -> NDArray[np.float64]:
    return term_columns(list(names), rows.scores, rows.evidence, rows.boxes_xywh, novel=rows.novel)


def _centres(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of what is known of each column, 0 where nothing is."""
    known = ~np.isnan(columns)
    return np.asarray(np.where(known, columns, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _middle(log_odds: NDArray[np.float64]) -> float:
    return float(log_odds.mean()) if len(log_odds) else 0.0


def _asked(rows: LabelledRows) -> NDArray[np.bool_]:
    return rows.evidence.asked()
