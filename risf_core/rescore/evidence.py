"""Evidence: what an encoder says of each detection besides its score."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import EvidenceKind, SupportScore


@dataclass(eq=False)
class Evidence:
    """The encoder's opinion of N rows, NaN where it has none: a row it was not asked about, a class without shots.

    It is filled in photo by photo as the encoder answers.
    """

    probability: NDArray[np.float64]  # (N,) of the row's class, by the names
    background: NDArray[np.float64]  # (N,) of the background's name
    rank: NDArray[np.float64]  # (N,) how many names are more probable than the row's class
    support: NDArray[np.float64]  # (N,) probability of the row's class, by the shots
    nearest: NDArray[np.float64]  # (N,) the same by the nearest shot of each class; NaN where no class has several
    similarity: NDArray[np.float64]  # (N,) cosine to the mean of the shots of the row's class

    match: NDArray[np.float64]  # (N,) log-odds that crop and name belong together, of an encoder trained by a sigmoid

    photo: NDArray[np.float64]  # (N,) probability of the row's class by the names, for the whole photo
    quarters: NDArray[np.float64]  # (N,) the same for the quarter of the photo where it is highest

    added: NDArray[np.float64]  # (N,) 1 for rows that relabelling added, 0 for the detector's

    @classmethod
    def unknown(cls, count: int) -> Evidence:
        """No opinion of any of `count` rows."""
        return cls(*(np.full(count, np.nan) for _ in fields(cls)))

    def __len__(self) -> int:
        return len(self.probability)

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Evidence:
        """The evidence of some rows."""
        return Evidence(*(getattr(self, column.name)[rows] for column in fields(self)))

    def combined(self, kind: EvidenceKind, score: SupportScore = "softmax") -> NDArray[np.float64]:
        """The probability (N,) that the plain formulas take: of one voice, or the mean of the two where both know.

        A row of a class without shots has only its name to speak for it; by shots alone it has no probability.
        """
        if kind == "none":
            return np.full(len(self), np.nan)
        if kind == "text":
            return self.probability
        if kind in ("photo", "text+photo"):
            second = np.fmax(self.photo, self.quarters)
        else:
            second = self.similarity if score == "cosine" else self.support
        if kind in ("support", "photo"):
            return second
        if kind == "text+photo":  # a budget leaves crops out
            return np.where(np.isnan(self.probability), second, (self.probability + second) / 2)
        return np.where(np.isnan(second), self.probability, (self.probability + second) / 2)

    def asked(self) -> NDArray[np.bool_]:
        """The rows (N,) of which anything is known."""
        return ~(np.isnan(self.probability) & np.isnan(self.similarity) & np.isnan(self.photo))

    def fill_names(
        self, rows: NDArray[np.int64], probabilities: NDArray[np.float64], columns: NDArray[np.int64], names: int
    ) -> None:
        """Fill in what the names say of rows (r,): probabilities (r, C), each row's column (r,), `names` of the C."""
        own = probabilities[np.arange(len(rows)), columns]
        self.probability[rows] = own
        self.rank[rows] = (probabilities[:, :names] > own[:, None]).sum(axis=1)
        if names < probabilities.shape[1]:
            self.background[rows] = probabilities[:, names]

    def fill_photo(
        self, rows: NDArray[np.int64], probabilities: NDArray[np.float64], columns: NDArray[np.int64]
    ) -> None:
        """Fill in what photo and quarters, probabilities (5, C), say of the photo's rows (r,) with columns (r,)."""
        self.photo[rows] = probabilities[0, columns]
        if len(probabilities) > 1:
            self.quarters[rows] = probabilities[1:, columns].max(axis=0)
