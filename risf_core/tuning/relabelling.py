"""How much less a row counts that relabelling added beside the detector's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from risf_core.detections import Detections
from risf_core.rescore.fitted import FittedFusion, Term, log_odds_of
from risf_core.tuning.labels import LabelledRows
from risf_core.tuning.regression import fit_offset_logistic

_PENALTY = 1e-3  # inverse variance of the prior around 0: how often added rows are right is theirs to say


def with_added(fusion: FittedFusion, rows: LabelledRows) -> FittedFusion:
    """The fusion with a term for the added rows among these: by how much their log-odds differ from its own account.

    Without added rows, or where the fusion has no use for the encoder, it stays as it is.
    """
    added = rows[rows.added & rows.judged]
    if not len(added) or not fusion.terms:
        return fusion
    scores = fusion.apply(
        added.scores, added.evidence, added.boxes_xywh, novel=added.novel, rescored_class=added.rescored_class
    )
    found = fit_offset_logistic(
        np.ones((len(added), 1)), added.right, offset=log_odds_of(scores), penalties=np.array([_PENALTY])
    )
    return replace(fusion, terms=(*fusion.terms, Term("added", float(found[0]), 0.0)))


def scores_to_judge(detections: Detections, added: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Detections:
    """The detections with added rows behind all others, so that none takes the box of a row of the detector's."""
    return detections.with_scores(np.where(added, 1e-9 * detections.scores, detections.scores))
