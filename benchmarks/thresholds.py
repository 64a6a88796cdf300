"""Whether thresholds for a precision reach it on photos they did not see: python benchmarks/thresholds.py FOLDER.

FOLDER holds instances.json and detections/*.json. Each split calibrates the detector and chooses thresholds on 48
photos and measures what is kept on the others.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from risf_core.datasets.reading import read_ground_truth
from risf_core.evaluation import read_detections_for
from risf_core.evaluation.thresholds import Wish
from risf_core.rescore.fusion_file import below_thresholds
from risf_core.tuning.calibrating import calibrate
from risf_core.tuning.cross_validation import images_of
from risf_core.tuning.labels import image_positions, judge

SPLITS, FITTED, PRECISION = 40, 48, 0.9


def main() -> None:
    data = Path(sys.argv[1])
    truth = read_ground_truth(data / "instances.json")
    names = truth.vocabulary.names
    for file in sorted((data / "detections").glob("*.json")):
        table = read_detections_for(file, truth).detections
        right, judged = judge(table, truth, sparse=False)
        positions = image_positions(table, truth)
        reached, contained = [], 0
        for split in range(SPLITS):
            chosen = np.random.default_rng(split).permutation(len(truth.images))[:FITTED]
            seen = np.isin(positions, chosen)
            tuned = calibrate(table[seen], images_of(truth, np.sort(chosen)), wish=Wish(PRECISION), seed=split)
            assert tuned.thresholds is not None
            scores = tuned.calibration.apply(table.scores, table.labels, names)
            least = {name: threshold.score for name, threshold in tuned.thresholds.items()}
            kept = ~below_thresholds(table.with_scores(scores), names, least) & judged & ~seen
            interval = binomtest(int(right[kept].sum()), int(kept.sum())).proportion_ci(method="wilson")
            reached.append(right[kept].mean())
            contained += interval.low <= PRECISION <= interval.high
        print(
            f"{file.name}: precision {np.mean(reached):.3f} on the other {len(truth.images) - FITTED} photos (lowest "
            f"{min(reached):.2f}); its interval contains {PRECISION:g} in {contained} of {SPLITS} splits"
        )


if __name__ == "__main__":
    main()
