"""The report: what re-scoring, or any other change, did to a file of detections, as one HTML page."""

from risf_core.report.run import Report, ReportSettings, write_report

__all__ = ["Report", "ReportSettings", "write_report"]
