"""The report: what re-scoring, or any other change, did to a file of detections, as one HTML page."""

from risf_core.report.comparison import ComparedFile, Comparison, compare_files
from risf_core.report.gallery import Gallery, build_gallery
from risf_core.report.page import render_page
from risf_core.report.run import Report, ReportSettings, write_report

__all__ = [
    "ComparedFile",
    "Comparison",
    "Gallery",
    "Report",
    "ReportSettings",
    "build_gallery",
    "compare_files",
    "render_page",
    "write_report",
]
