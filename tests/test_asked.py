"""Which share of its open amount a won deal brings, from histories in which it is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simfunnel.crm import History, read_crm
from simfunnel.fitting import fit
from simfunnel.fitting.asked import FEWEST, as_asked, final_and_asked, fit_share
from simfunnel.forecasting.forecast import forecast
from simfunnel.scenario import from_tree
from tests import exports


def history(folder: Path, share: float, kind: str = "salesforce", *, seed: int = 1, n: int = 300) -> History:
    """Deals whose amount stays as it is until the win, which brings this share of it, give or take a tenth."""
    known = exports.world(n, seed)
    asked = known.changes.groupby("id")["amount"].transform("first")
    draws = np.exp(np.random.default_rng(seed).normal(-0.005, 0.1, len(asked)))  # of mean 1
    final = (asked * share * draws).round().astype(int)
    amount = asked.where(known.changes["stage"] != "Closed Won", final)
    world = exports.World(known.deals, known.changes.assign(amount=amount))
    return read_crm(*exports.write(folder, exports.WITH_HISTORY[kind](world)))


@pytest.mark.parametrize("kind", ["salesforce", "field_history", "hubspot"])
@pytest.mark.parametrize("share", [0.8, 1.25])
def test_the_share_that_made_the_data_is_found(tmp_path: Path, kind: str, share: float) -> None:
    found = fit_share(history(tmp_path, share, kind))
    assert found is not None
    error = 0.1 * share / found.n**0.5
    assert abs(found.value - share) < 4 * error
    assert found.high - found.low == pytest.approx(2 * 1.645 * error, rel=0.3)


def test_large_deals_weigh_as_much_as_they_bring(tmp_path: Path) -> None:
    """The largest third gets 40% off and the others nothing; what counts is the money that all open amounts bring."""
    known = history(tmp_path, 1.0)
    wins = known.deals[(known.deals["outcome"] == "won") & (known.deals["value"] > 0)]
    large = wins["value"] > np.quantile(wins["value"], 2 / 3)
    cut = wins["value"].where(~large, 0.6 * wins["value"])
    cheaper = replace(known, deals=known.deals.assign(value=cut.reindex(known.deals.index, fill_value=np.nan)))
    found = fit_share(cheaper)
    final, asked = final_and_asked(cheaper)
    assert found is not None
    assert found.low < final.sum() / asked.sum() < found.high
    assert found.value < (final / asked).mean() - 0.05


@pytest.mark.parametrize("seed", range(1, 7))
def test_no_share_is_found_where_wins_bring_what_was_asked(tmp_path: Path, seed: int) -> None:
    known = history(tmp_path, 1.0, seed=seed)
    assert len(final_and_asked(known)[0]) > FEWEST
    assert fit_share(known) is None


def test_the_file_says_the_share_and_values_are_those_of_open_deals(tmp_path: Path) -> None:
    plain, known = fit(history(tmp_path / "plain", 1.0)), fit(history(tmp_path / "less", 0.8))
    assert plain.tree["stages"]["Won"] == {"books": "value"}
    assert not any("a win books" in said for said in plain.assumptions)
    written = from_tree(known.tree).spec.stages["Won"].books
    assert written is not None
    row = known.table.set_index("what").loc["stages.Won.books"]
    assert written.share.low == pytest.approx(row["low"], abs=6e-4)  # type: ignore[union-attr]
    assert any(said.startswith("a win books") for said in known.assumptions)
    means = [one.table.set_index("what").loc["value (mean)", "estimate"] for one in (plain, known)]
    assert means[1] == pytest.approx(means[0], rel=0.03)  # the same was asked in both


def test_a_forecast_counts_open_deals_with_what_a_win_books(tmp_path: Path) -> None:
    known = history(tmp_path, 0.8)
    model = from_tree(fit(known).tree)
    whole = model.override({"stages.Won.books": "value"})
    some, all_ = (forecast(one, known, replications=40) for one in (model, whole))
    expected = [one.deals.set_index("deal").sort_index() for one in (some, all_)]
    assert expected[0]["value"].equals(expected[1]["value"])  # the pipeline is that of the export
    column = expected[0].columns[4]
    ratio = expected[0][column].sum() / expected[1][column].sum()
    assert ratio == pytest.approx(0.8, abs=0.02)
    bookings = [one.parts.query("metric == 'bookings' and part == 'open deals'")["value"].sum() for one in (some, all_)]
    assert bookings[0] / bookings[1] == pytest.approx(ratio, abs=0.01)


def test_values_of_deals_that_were_not_won_stay(tmp_path: Path) -> None:
    known = history(tmp_path, 0.8)
    asked = as_asked(known, fit_share(known))
    won = known.deals["outcome"] == "won"
    assert asked.deals.loc[~won, "value"].equals(known.deals.loc[~won, "value"])
    assert (asked.deals.loc[won, "value"] > 1.2 * known.deals.loc[won, "value"]).all()


def test_an_amount_counts_for_as_long_as_it_stood(tmp_path: Path) -> None:
    saves = (
        *(("A", "2024-01-01", "Open", 100), ("A", "2024-01-31", "Open", ""), ("A", "2024-02-10", "Open", 400)),
        *(("A", "2024-02-20", "Closed Won", 200), ("B", "2024-01-05", "Open", 1)),
        *(("B", "2024-03-01", "Closed Won", 900), ("C", "2024-01-05", "Open", 70)),
    )
    table = pd.DataFrame(saves, columns=["OpportunityId", "CreatedDate", "StageName", "Amount"])
    table.assign(Id=table.index, Probability=10).to_csv(tmp_path / "OpportunityHistory.csv", index=False)
    known = read_crm(tmp_path / "OpportunityHistory.csv")
    # A: 30 days at 100, 10 days at none, 10 at 400; B's was a placeholder; C is open
    final, asked = final_and_asked(known)
    assert final.tolist() == [200.0]
    assert asked.tolist() == pytest.approx([np.exp((30 * np.log(100) + 10 * np.log(400)) / 40)])
