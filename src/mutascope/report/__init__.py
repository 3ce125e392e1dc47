"""A report: one self-contained HTML page of what screens found, to be sent to a colleague."""

from mutascope.report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
