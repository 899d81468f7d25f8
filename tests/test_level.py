"""The level of weekly counts: its filter against statsmodels, and what it says of trends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from simfunnel.fitting import level
from simfunnel.fitting.level import ahead
from simfunnel.fitting.states import AHEAD, SEEN

WEEKS = 60


def growing(share: float, seed: int) -> tuple[np.ndarray, float]:
    """Counts of weeks that grow by a share each, 50 in the last, and the true mean of the weeks that follow."""
    weeks = np.arange(WEEKS + AHEAD)
    means = 50 * (1 + share) ** (weeks - WEEKS + 1.0)
    return np.random.default_rng(seed).poisson(means[:WEEKS]).astype(float), float(means[WEEKS:].mean())


@pytest.mark.parametrize("model", [0, 10, 25, 26, 40, 77])
def test_the_filter_is_that_of_statsmodels(model: int) -> None:
    """Forecast, its variance and the likelihood of one model on the grid, by the state space of statsmodels."""
    from statsmodels.tsa.statespace.mlemodel import MLEModel

    counts, _ = growing(0.01, 7)
    z = 2 * np.sqrt(counts + 0.375)
    found = level._filter(z)
    grid = level._MODELS
    step, shocks, before = grid.step[model], grid.shocks[model], grid.before[model]
    noise = found.noise[model]
    theirs = MLEModel(z, k_states=3)
    theirs.ssm["design"] = SEEN[np.newaxis]
    theirs.ssm["transition"], theirs.ssm["selection"] = step, np.eye(3)
    theirs.ssm["state_cov"], theirs.ssm["obs_cov"] = noise * shocks, [[noise]]
    theirs.ssm.initialize_known(np.array([z[0], 0.0, 0.0]), noise * before)
    results = theirs.ssm.filter()
    wanted = results.predict(start=WEEKS, end=WEEKS + AHEAD).forecasts[0]
    assert len(wanted) == AHEAD
    assert found.mean[model] == pytest.approx(wanted.mean(), rel=1e-9)
    score = found.score[model] - np.log(level._BELIEFS[model])
    reference = float(results.llf_obs[1:].sum()) + 0.5 * (WEEKS - 1) * np.log(2 * np.pi)
    assert score == pytest.approx(reference, rel=1e-9)


@pytest.mark.parametrize("share", [0.015, -0.015])
def test_a_trend_is_followed(share: float) -> None:
    """Its sign is found in most histories, and the level that follows lies as often in its interval as it should."""
    held, seen = 0, 0
    seeds = range(40)
    for seed in seeds:
        counts, truth = growing(share, seed)
        found = ahead(counts, np.random.default_rng(seed), 1000)
        low, high = np.quantile(found.means, [0.05, 0.95])
        held += low <= truth <= high
        seen += np.sign(np.median(found.growth)) == np.sign(share)
    assert seen >= 32
    # The trend is taken to fade and does not, so the interval may hold less often than 9 in 10; 3 in 4 at the least.
    assert held >= stats.binom.ppf(0.001, len(seeds), 0.75)


def test_a_level_without_a_trend_gets_none() -> None:
    said = 0
    for seed in range(40):
        counts, truth = growing(0.0, 100 + seed)
        found = ahead(counts, np.random.default_rng(seed), 1000)
        said += bool(np.mean(found.growth != 0) > 0.5)
        assert abs(found.means.mean() / truth - 1) < 0.15
    assert said <= 6


def test_growth_ends_sometime() -> None:
    """A year of growth is not doubled in the next quarter: the forecast stays under an exponential one."""
    counts, truth = growing(0.03, 3)
    assert 50 < np.median(ahead(counts, np.random.default_rng(1), 1000).means) < truth
