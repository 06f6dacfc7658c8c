"""Judging: studies of the source works, tables, figures, the report."""
