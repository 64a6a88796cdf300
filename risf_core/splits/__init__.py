"""Few-shot splits: which boxes of a dataset are the shots."""

from risf_core.splits.check import CheckReport, check_split
from risf_core.splits.classes import with_novel_classes
from risf_core.splits.data_files import default_split_folder, find_source
from risf_core.splits.folder import Manifest, read_manifest
from risf_core.splits.prepare import PreparedSplits, SplitSettings, prepare_splits
from risf_core.splits.reading import image_folders_of, read_base, read_split, read_test_data, read_training_data
from risf_core.splits.split import Mark, SeedShots, Split
from risf_core.splits.training_sets import base_records, few_shot_records, generalised_records

__all__ = [
    "CheckReport",
    "Manifest",
    "Mark",
    "PreparedSplits",
    "SeedShots",
    "Split",
    "SplitSettings",
    "base_records",
    "check_split",
    "default_split_folder",
    "few_shot_records",
    "find_source",
    "generalised_records",
    "image_folders_of",
    "prepare_splits",
    "read_base",
    "read_manifest",
    "read_split",
    "read_test_data",
    "read_training_data",
    "with_novel_classes",
]
