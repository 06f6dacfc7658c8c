"""One self-contained HTML page of any set of run folders."""

from foretrain.integrations.report.page import write_page

__all__ = ["write_page"]
