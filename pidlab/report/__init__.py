"""A page to look at: what was asked, the truth, figures and every number, in one file. No torch."""

from pidlab.report.page import Claim, Picture, write_report

__all__ = ["Claim", "Picture", "write_report"]
