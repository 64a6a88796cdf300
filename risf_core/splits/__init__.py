"""Few-shot splits: which boxes of a dataset are the shots."""

from risf_core.splits.check import CheckReport, check_split
from risf_core.splits.classes import with_novel_classes
from risf_core.splits.data_files import DataChoice, default_split_folder
from risf_core.splits.folder import SplitFolder, find_split, open_split
from risf_core.splits.manifest import Manifest
from risf_core.splits.prepare import PreparedSplits, SplitSettings, prepare_splits
from risf_core.splits.preview import Preview
from risf_core.splits.run import check_split_folder, prepare_split_folder
from risf_core.splits.split import Mark, SeedShots
from risf_core.splits.training_sets import base_records, few_shot_records, generalised_records

__all__ = [
    "CheckReport",
    "DataChoice",
    "Manifest",
    "Mark",
    "PreparedSplits",
    "Preview",
    "SeedShots",
    "SplitFolder",
    "SplitSettings",
    "base_records",
    "check_split",
    "check_split_folder",
    "default_split_folder",
    "few_shot_records",
    "find_split",
    "generalised_records",
    "open_split",
    "prepare_split_folder",
    "prepare_splits",
    "with_novel_classes",
]
