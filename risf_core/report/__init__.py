"""The report: what re-scoring, or any other change, did to a file of detections, as one HTML page."""

from risf_core.report.comparison import ComparedFile, Comparison, compare_files
from risf_core.report.gallery import Gallery, gallery_of
from risf_core.report.page import page_of
from risf_core.report.record import read_record
from risf_core.report.recorded_encoder import EncoderPlace

__all__ = [
    "ComparedFile",
    "Comparison",
    "EncoderPlace",
    "Gallery",
    "compare_files",
    "gallery_of",
    "page_of",
    "read_record",
]
