"""Report page of a sweep or a study, as one HTML file."""

from pidlab.report.page import Claim, Picture, write_report

__all__ = ["Claim", "Picture", "write_report"]
