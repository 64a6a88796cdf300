"""Several data sets in one table, as RF20-VL and CD-FSOD report them: means over data sets, and over seeds in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from risf_core.documents import read_yaml, typed
from risf_core.errors import ConfigError, DataError, counted
from risf_core.evaluation.aggregate import Spread
from risf_core.evaluation.metrics import UNDEFINED
from risf_core.evaluation.run import Evaluation, EvaluationSettings, evaluate_files
from risf_core.files import STANDARD_STREAM, write_json
from risf_core.formats.conventions import Conventions
from risf_core.outputs import check_outputs

_WAY_OUT = "write a list of `name`, `annotations`, `detections` and, if needed, `novel` for each data set"


@dataclass(frozen=True)
class DataSet:
    """A data set of the list: its ground truth and one or more detections files; paths are relative to the list."""

    annotations: str
    detections: str | list[str]
    name: str = ""
    novel: str | None = None

    def files(self) -> list[str]:
        """The ground truth's file, then those of the detections."""
        return [self.annotations, *([self.detections] if isinstance(self.detections, str) else self.detections)]


@dataclass(frozen=True)
class EvaluatedSet:
    """The figures of one data set: its file's, or the mean and 95 % interval over its runs."""

    name: str
    annotations: Path
    detections: Sequence[Path]
    evaluation: Evaluation
    figures: dict[str, Spread]  # AP ... bAP ... nAP ...


@dataclass(frozen=True)
class SeveralSets:
    """The figures of each data set, and their mean over the data sets in which they are defined."""

    sets: Sequence[EvaluatedSet]
    means: dict[str, float]

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf evaluate --datasets --json` prints."""
        return {"datasets": {own.name: own.evaluation.to_json() for own in self.sets}, "mean": dict(self.means)}


def evaluate_data_sets(
    path: Path,
    *,
    novel: str | None = None,
    settings: EvaluationSettings | None = None,
    conventions: Conventions | None = None,
    on_unmatched: Literal["error", "drop"] = "error",
    out: Path | None = None,
) -> SeveralSets:
    """The metrics of every data set of a YAML list; the arguments are those of `evaluate_files`.

    Args:
        novel: the novel classes of data sets that state none.

    Raises ConfigError where a data set has several detections files that are not to be aggregated.
    """
    settings = settings or EvaluationSettings()
    stated = typed(read_yaml(path, what="list of data sets"), list[DataSet], source=path, way_out=_WAY_OUT)
    if not stated:
        raise DataError(f"{path}: names no data set; {_WAY_OUT}")
    folder = path.parent
    check_outputs({"out": out}, inputs=[path, *(folder / file for own in stated for file in own.files())])
    sets: list[EvaluatedSet] = []
    for own in stated:
        name = own.name or own.annotations
        if name in [other.name for other in sets]:
            raise DataError(f"{path}: names the data set {name!r} twice; give each its own name")
        annotations, *files = (folder / file for file in own.files())
        if not files or (len(files) > 1 and not settings.aggregate):
            raise ConfigError(
                f"{path}: the data set {name!r} has {counted(len(files), 'detections file')}, one is needed; "
                "`aggregate` takes several as runs of one setting (seeds)"
            )
        evaluation = evaluate_files(
            files,
            annotations=annotations,
            novel=own.novel or novel,
            settings=settings,
            conventions=conventions,
            on_unmatched=on_unmatched,
        )
        runs = [file.metrics.flat() for file in evaluation.files]
        figures = {key: Spread.of([run[key] for run in runs]) for key in runs[0]}
        sets.append(EvaluatedSet(name, annotations, files, evaluation, figures))
    done = SeveralSets(sets, _means(sets))
    if out is not None and str(out) != STANDARD_STREAM:
        write_json(out, done.to_json())
    return done


def _means(sets: Sequence[EvaluatedSet]) -> dict[str, float]:
    names = dict.fromkeys(name for own in sets for name in own.figures)
    means = {}
    for name in names:
        values = [own.figures[name].mean for own in sets if name in own.figures]
        defined = [value for value in values if value != UNDEFINED]
        means[name] = sum(defined) / len(defined) if defined else UNDEFINED
    return means
