"""A fitted fusion: from a detector's score and an encoder's evidence to the probability that the detection is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.rescore.evidence import Evidence

_MARGIN = 1e-6  # how near to 0 and 1 the encoder's probabilities may come before their logarithm is taken
_SUREST = 25.0  # log-odds up to which floats have room for probabilities below 1
_SCORE_MARGIN = 1e-9  # and a detector's scores, which float32 tells apart to 6e-8 below 1

Column = NDArray[np.float64]  # (N,)


@dataclass(frozen=True)
class Term:
    """One piece of evidence in a fitted fusion: its weight, and the value at which it changes nothing."""

    name: str  # one of TERMS
    weight: float
    centre: float


@dataclass(frozen=True)
class Line:
    """A straight line over log-odds; the default changes nothing."""

    slope: float = 1.0
    intercept: float = 0.0

    def at(self, log_odds: Column) -> Column:
        """Its values (N,)."""
        return self.intercept + self.slope * log_odds


@dataclass(frozen=True)
class FittedFusion:
    """P(right) = sigmoid(fused(l) + sum_k weight_k (x_k - centre_k)), l the log-odds of the detector's score.

    Rows of the same classes that the encoder was not asked about get sigmoid(alone(l)), fitted to the same labels. The
    seam: what was below the range of scores that are re-scored stays below all that is, and what was above stays
    above. To that end the probabilities of re-scored rows are pressed together at their ends, into what alone(l) gives
    at the ends of the range; in between they are as they were fitted. Classes that are not re-scored have a line of
    their own. Without terms every row gets its line, which rises: the detector's order.
    """

    fused: Line
    alone: Line
    others: Line
    terms: tuple[Term, ...] = ()
    min_score: float = 0.05  # rows with min_score < score <= max_score are re-scored
    max_score: float = 1.0
    photo: Line = Line()  # with `photo_terms`: for rows of which the photo is known and, for want of budget, no crop
    photo_terms: tuple[Term, ...] = ()

    def apply(
        self,
        scores: Column,
        evidence: Evidence,
        boxes_xywh: NDArray[np.float64],
        *,
        novel: NDArray[np.bool_],
        rescored_class: NDArray[np.bool_],
    ) -> Column:
        """The probabilities (N,). A term that is not known of a row, say for want of shots, says nothing there.

        Args:
            novel: (N,) rows of novel classes.
            rescored_class: (N,) rows of classes that are re-scored.
        """
        log_odds = log_odds_of(scores)
        alone = np.where(rescored_class, self.alone.at(log_odds), self.others.at(log_odds))
        if not self.terms:
            return _probability(alone)

        def with_terms(line: Line, terms: tuple[Term, ...]) -> tuple[Column, NDArray[np.bool_]]:
            columns = term_columns([term.name for term in terms], scores, evidence, boxes_xywh, novel=novel)
            total = line.at(log_odds)
            for term, column in zip(terms, columns.T, strict=True):
                total = total + np.where(np.isnan(column), 0.0, term.weight * (column - term.centre))
            return total, np.asarray(np.isnan(columns).all(axis=1))

        total, unknown = with_terms(self.fused, self.terms)
        if self.photo_terms:
            without_crop = np.isnan(evidence.probability) & np.isnan(evidence.similarity) & ~np.isnan(evidence.photo)
            by_photo, _ = with_terms(self.photo, self.photo_terms)
            total, unknown = np.where(without_crop, by_photo, total), unknown & ~without_crop
        return np.where(
            unknown,
            _probability(alone),
            # what relabelling added was in no range of the detector's
            np.where(evidence.added == 1, _probability(total), _pressed(_probability(total), *self._ends())),
        )

    def _ends(self) -> tuple[float, float]:
        """Between which probabilities the re-scored rows lie."""
        ends = self.alone.at(log_odds_of(np.array([self.min_score, self.max_score])))
        low, high = _probability(ends).tolist()
        return (low if self.min_score > 0 else 0.0), (high if self.max_score < 1 else 1.0)


def term_columns(
    names: list[str], scores: Column, evidence: Evidence, boxes_xywh: NDArray[np.float64], *, novel: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The values of some terms, (N, P); NaN where a term is not known of a row."""
    asked = evidence.asked()
    values = {name: _TERMS[name](evidence) for name in names if name in _TERMS}
    if "size" in names:
        values["size"] = np.log(np.maximum(boxes_xywh[:, 2] * boxes_xywh[:, 3], 1.0)) / 2  # of the side in pixels
    if "novel" in names:
        values["novel"] = novel.astype(np.float64)
    columns = [np.where(asked, values[name], np.nan) for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((len(scores), 0))


def _pressed(probabilities: Column, low: float, high: float) -> Column:
    """Probabilities (N,) between low and high, their order kept; those well between stay as they are.

    >>> _pressed(np.array([0.0, 0.02, 0.04, 0.5, 1.0]), 0.02, 1.0).tolist()
    [0.02, 0.03, 0.04, 0.5, 1.0]
    """
    if 2 * low > 1 - 2 * (1 - high):
        return low + (high - low) * probabilities  # there is no room in between
    raised = np.where(probabilities < 2 * low, low + probabilities / 2, probabilities)
    rest = 1 - high
    return np.asarray(np.where(1 - raised < 2 * rest, high - (1 - raised) / 2, raised))


def log_odds_of(probabilities: Column) -> Column:
    """log(p / (1 - p)) of a detector's scores, p kept 1e-9 from 0 and 1."""
    p = np.clip(probabilities, _SCORE_MARGIN, 1 - _SCORE_MARGIN)
    return np.asarray(np.log(p / (1 - p)))


def sigmoid(log_odds: Column) -> Column:
    """1 / (1 + exp(-x)) without overflow, as exact near 0 as elsewhere."""
    small = np.exp(-np.abs(log_odds))
    return np.asarray(np.where(log_odds >= 0, 1.0, small) / (1.0 + small))


def _probability(log_odds: Column) -> Column:
    """The probabilities of log-odds; those of over 25, 1 - 1e-11, rise so slowly that floats still tell them apart."""
    over = np.maximum(log_odds - _SUREST, 0.0)
    return sigmoid(np.minimum(log_odds, _SUREST) + np.log1p(over))


def _log(probabilities: Column) -> Column:
    return np.asarray(np.log(np.maximum(probabilities, _MARGIN)))


# The log-odds of the encoder's probability are `text` + `certainty`. The two are apart because an encoder's softmax is
# far surer of itself than it is right: log(1 - q) of a q near 1 is mostly noise, log q of a small one is not.
_TERMS: Mapping[str, Callable[[Evidence], Column]] = {
    "text": lambda evidence: _log(evidence.probability),
    "certainty": lambda evidence: -_log(1 - evidence.probability),
    "background": lambda evidence: _log(evidence.background),
    "rank": lambda evidence: np.log1p(evidence.rank),
    "support": lambda evidence: _log(evidence.support),
    "nearest": lambda evidence: _log(evidence.nearest),
    "match": lambda evidence: evidence.match,
    "similarity": lambda evidence: 10 * evidence.similarity,  # cosines of crops differ by tenths
    "photo": lambda evidence: _log(evidence.photo),
    "quarters": lambda evidence: _log(evidence.quarters),
    "added": lambda evidence: evidence.added,
}
TERMS: tuple[str, ...] = (*_TERMS, "size", "novel")
