"""How many each one brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simfunnel.fitting.referrals import brought, fit_referrals


def test_jazz_musicians_brought_as_many_as_they_did(shared_data: Path) -> None:
    people = pd.read_csv(shared_data / "nyjazz/nyjazz.csv")
    coupons = people.melt(id_vars="id", value_vars=[f"coupon.{k}" for k in range(1, 8)], value_name="coupon").dropna()
    holder = coupons.drop_duplicates("coupon").set_index("coupon")["id"]
    counts = brought(people["id"], people["own.coupon"].map(holder))
    assert np.bincount(counts.astype(int))[:5].tolist() == [146, 54, 26, 19, 12]
    found = fit_referrals(counts)
    assert found.mean.value == pytest.approx(0.95, abs=0.01)
    assert "nbinom" in found.written()
    assert found.mean.low < 0.9 < 1.0 < found.mean.high


def test_chance_alone_is_poisson() -> None:
    counts = np.random.default_rng(1).poisson(0.6, 2000).astype(float)
    found = fit_referrals(counts)
    assert set(found.written()) == {"poisson"}
    assert found.mean.low < 0.6 < found.mean.high


def test_the_shape_is_found() -> None:
    rng = np.random.default_rng(2)
    found = fit_referrals(rng.poisson(rng.gamma(0.5, 2.0, 4000)).astype(float))
    assert found.shape == pytest.approx(0.5, rel=0.2)


def test_nobody_is_an_error() -> None:
    with pytest.raises(ValueError, match="nobody"):
        fit_referrals(np.array([]))
