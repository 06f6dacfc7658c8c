"""The one form in which every estimator speaks."""

from __future__ import annotations

import numpy as np
import pytest

from foretrain.forecast import Forecast


def test_parts_may_be_absent_but_not_uneven():
    assert len(Forecast(score=np.arange(3.0))) == 3
    with pytest.raises(ValueError, match="mean has 2 entries, score has 3"):
        Forecast(score=np.arange(3.0), mean=np.arange(2.0))
    with pytest.raises(ValueError, match="arch_id has 1 entries"):
        Forecast(score=np.arange(3.0), arch_id=["a"])
    with pytest.raises(ValueError, match="both ends of an interval"):
        Forecast(score=np.arange(3.0), lower=np.arange(3.0))
