"""Few-shot splits: which boxes of a dataset are the shots."""

from risf_core.splits.check import CheckReport
from risf_core.splits.data_files import DataChoice
from risf_core.splits.folder import SplitFolder, open_split
from risf_core.splits.prepare import PreparedSplits, SplitSettings, prepare_splits
from risf_core.splits.preview import Preview
from risf_core.splits.run import check_split_folder, prepare_split_folder

__all__ = [
    "CheckReport",
    "DataChoice",
    "PreparedSplits",
    "Preview",
    "SplitFolder",
    "SplitSettings",
    "check_split_folder",
    "open_split",
    "prepare_split_folder",
    "prepare_splits",
]
