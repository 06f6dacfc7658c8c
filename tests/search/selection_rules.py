"""What the property tests of this room draw from."""

from __future__ import annotations

from hypothesis import strategies as st

from foretrain.search.agent import SelectionRule

RULES = st.builds(
    SelectionRule,
    first_units=st.integers(1, 6),
    interval_units=st.integers(1, 4),
    cut=st.floats(0.01, 0.99),
    cut_decay=st.floats(0.2, 3),
    final_size=st.integers(1, 12),
)
