"""R squared of predicted chances of silence."""

from __future__ import annotations

import polars as pl
import pytest

from mutascope.analysis.calibration import silence_r2


def test_r_squared_of_silence_by_hand():
    calls = pl.DataFrame(
        {"weight": [1.0, 1.0, 2.0], "silence": [0.0, 1.0, 0.5], "predicted_silence": [0.2, 0.8, 0.5]}
    )
    assert silence_r2(calls) == pytest.approx(1 - 0.08 / 0.5)
    assert silence_r2(calls.drop("silence")) is None
    assert silence_r2(calls.with_columns(silence=pl.lit(0.5))) is None
