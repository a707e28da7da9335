"""The report: one self-contained page of what was asked, what is true and what was captured."""
