"""Who brought whom: read, checked, and found again as how many and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simfunnel.crm import History, read_crm
from simfunnel.crm.exporting import as_export, known_at
from simfunnel.crm.quality import Trouble
from simfunnel.fitting import fit
from simfunnel.fitting.bringing import fit_bringing
from simfunnel.fitting.coming import EARLIER, REFERRED
from simfunnel.forecasting.forecast import from_today
from simfunnel.replicate import records_of, run
from simfunnel.scenario import Scenario, from_tree, load_text
from tests import exports

TRUTH = {
    "name": "Referrals",
    "start": "2023-01-01",
    "horizon": "2 years",
    "calendar": "always",
    "sources": {"web": {"rate": "2 per day"}, "fair": {"rate": "0.5 per day"}, "referral": {}},
    "value": {"lognormal": {"median": 100, "p90": 200}},
}


def truth(number: dict[str, object], *, stage: str = "Won", horizon: str = "2 years", mean: int = 60) -> Scenario:
    """Deals of which 40% are won, and of which each one in `stage` brings so many."""
    lead = {
        "Won": {"chance": "40%", "after": {"gamma": {"mean": "20 days", "cv": 0.8}}},
        "lost": {"after": {"exponential": "30 days"}},
    }
    stages: dict[str, dict[str, object]] = {"lead": {"exits": lead}, "Won": {"books": "value"}}
    after = {"gamma": {"mean": f"{mean} days", "cv": 0.8}}
    stages[stage]["refers"] = {"number": number, "after": after, "source": "referral"}
    return from_tree({**TRUTH, "horizon": horizon, "stages": stages})


def read(folder: Path, scenario: Scenario, seed: int = 1) -> History:
    as_export(*records_of(scenario, seed=seed)).to_csv(folder / "deals.csv", index=False)
    return read_crm(folder / "deals.csv")


@pytest.mark.parametrize(
    ("number", "mean", "stage"),
    [
        ({"poisson": 0.6}, 0.6, "Won"),
        ({"nbinom": {"n": 0.5, "p": 0.4545}}, 0.6, "Won"),
        ({"poisson": 0.3}, 0.3, "lead"),
    ],
    ids=["by chance", "some far more", "from the first stage"],
)
def test_number_time_and_stage_are_found_again(
    tmp_path: Path, number: dict[str, object], mean: float, stage: str
) -> None:
    history = read(tmp_path, truth(number, stage=stage))
    assert history.quality.troubles == ()
    found, _ = fit_bringing(history)
    assert found is not None
    assert found.stage == ("won" if stage == "Won" else "lead")
    for estimate, wanted in ((found.referrals.mean, mean), (found.timing.mean, 60), (found.timing.cv, 0.8)):
        error = np.log(estimate.high / estimate.low) / (2 * 1.645)
        assert abs(np.log(estimate.value / wanted)) < 3.5 * error
        assert error < 0.15
    assert np.isinf(found.referrals.shape) == ("poisson" in number)
    brought = history.deals["brought_by"].notna()
    assert np.array_equal(found.brought == 1, brought.to_numpy())


def test_who_has_had_less_time_counts_less(tmp_path: Path) -> None:
    """Of six months, many referrals after 60 days are still to come: the plain mean is far too low."""
    history = read(tmp_path, truth({"poisson": 0.6}, horizon="6 months"), seed=2)
    found, _ = fit_bringing(history)
    assert found is not None
    plain = found.brought.sum() / (history.deals["outcome"] == "won").sum()
    assert plain < 0.45
    assert plain < found.referrals.mean.low < 0.6 < found.referrals.mean.high


def test_referred_deals_are_no_arrivals_of_other_sources(tmp_path: Path) -> None:
    history = read(tmp_path, truth({"poisson": 0.6}))
    found = fit(history)
    assert list(found.tree["sources"]) == ["web", "fair", REFERRED, EARLIER, "open deals"]
    assert found.tree["sources"][REFERRED] == {"enters": "lead"}
    table = found.table.set_index("what")
    low, high = (table.loc["sources, all channels together.rate", end] for end in ("low", "high"))
    assert low < 2.5 < high
    rule = found.tree["stages"]["Won"]["refers"]
    assert rule["source"] == REFERRED
    assert set(rule) == {"number", "after", "source"}
    assert table.loc["stages.Won.refers.number (mean)", "low"] < 0.6
    assert found.tree["attributes"]["crm source"]["cases"][REFERRED] == {"referral": "100%"}
    assert any("referrals:" in said and "not among the new deals" in said for said in found.assumptions)
    assert load_text(found.to_yaml())


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["Won", "lead"])
def test_as_many_come_in_all_as_came(tmp_path: Path, stage: str) -> None:
    """In the two quarters after the cut: those that nobody brought, and those that old and new deals bring."""
    number = {"poisson": 0.6 if stage == "Won" else 0.3}
    came, foreseen = [], []
    for seed in range(1, 7):
        records, plan = records_of(truth(number, stage=stage, horizon="10 quarters"), seed=seed)
        as_export(known_at(records, 731), plan).to_csv(tmp_path / "deals.csv", index=False)
        born = records.prospects.born
        came.append(int(((born >= 731) & (born < 912)).sum()))
        history = read_crm(tmp_path / "deals.csv", as_of="2024-12-31")
        ready = from_today(from_tree(fit(history).tree), history, quarters=2)
        foreseen.append(float(run(ready, 10, seed=1).values("prospects").sum(axis=1).mean()))
    assert np.mean(foreseen) == pytest.approx(np.mean(came), rel=0.05)


def test_referred_deals_keep_their_odds(tmp_path: Path) -> None:
    """Those who were referred are won twice as often, and no column of channels says who they are."""
    scenario = truth({"poisson": 0.6})
    effects = [{"when": {"source": "referral"}, "on": "lead -> Won", "odds": "x4"}]
    records, plan = records_of(from_tree({**scenario.tree, "effects": effects}), seed=2)
    as_export(records, plan).drop(columns="source").to_csv(tmp_path / "deals.csv", index=False)
    history = read_crm(tmp_path / "deals.csv")
    assert history.channel == ""
    found = fit(history)
    assert list(found.tree["sources"]) == ["new deals", REFERRED, EARLIER, "open deals"]
    referred = [e for e in found.tree["effects"] if e.get("when") == {"brought": "referred"}]
    assert len(referred) == 1
    ready = from_today(from_tree(found.tree), history, quarters=4)
    later = pd.concat([as_export(*records_of(ready, seed=k)) for k in range(3)])
    early = later[later["created"] < "2025-07-01"]
    won = (early["stage"] == "Closed Won").groupby(early["source"]).mean()
    assert won["new deals"] == pytest.approx(0.4, abs=0.05)
    assert won[REFERRED] == pytest.approx(4 / (4 + 1.5), abs=0.07)


def test_what_only_referred_deals_are_stays_with_them(tmp_path: Path) -> None:
    """An attribute that says the same in other words is not drawn apart from who brought a deal."""
    table = as_export(*records_of(truth({"poisson": 0.6}), seed=1)).drop(columns="source")
    table["kind"] = np.where(table["brought_by"] == "", "inquiry", "introduction")
    table["region"] = np.where(np.arange(len(table)) % 3 == 0, "north", "south")
    table.to_csv(tmp_path / "deals.csv", index=False)
    levels = fit(read_crm(tmp_path / "deals.csv")).tree["attributes"]
    assert levels["kind"]["by"] == "source"
    assert levels["kind"]["cases"][REFERRED] == {"introduction": "100%"}
    assert levels["kind"]["cases"]["other"] == {"inquiry": "100%"}
    assert set(levels["region"]) == {"north", "south"}


def test_a_log_of_events_tells_it_too(tmp_path: Path) -> None:
    log = exports.event_log(exports.world())["log.csv"]
    first = log["case:concept:name"].iloc[0]
    log["case:referred_by"] = np.where(log["case:concept:name"] == "D0007", first, "")
    log.to_csv(tmp_path / "log.csv", index=False)
    deals = read_crm(tmp_path / "log.csv").deals.set_index("id")
    assert deals["brought_by"].count() <= 1
    assert set(deals["brought_by"].dropna()) <= {first}
    assert "brought_by" in deals


def test_what_earlier_customers_still_bring_runs_out(tmp_path: Path) -> None:
    found, _ = fit_bringing(read(tmp_path, truth({"poisson": 0.6})))
    assert found is not None
    rates = [rate for _, rate in found.coming]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(0.6, abs=0.25)  # 2.5 / (1 - 0.24) new a day, of which 40% won bring 0.6 each
    assert rates[-1] == 0


def test_a_further_deal_with_the_same_customer_is_not_brought() -> None:
    scenario = truth({"poisson": 0.6}, horizon="1 year")
    stages = {**scenario.tree["stages"]}
    stages["Won"] = {**stages["Won"], "sends": {"number": 1, "after": "9 days", "source": "web"}}
    table = as_export(*records_of(from_tree({**scenario.tree, "stages": stages}), seed=1))
    by_source = (table["brought_by"] != "").groupby(table["source"]).mean()
    assert by_source["referral"] > 0.9  # the others came from a further deal of one who was referred
    assert by_source["web"] == 0


def test_only_what_was_known_on_the_date_is_used(tmp_path: Path) -> None:
    records, plan = records_of(truth({"poisson": 0.6}), seed=3)
    as_export(records, plan).to_csv(tmp_path / "deals.csv", index=False)
    whole = read_crm(tmp_path / "deals.csv", as_of="2024-03-01")
    as_export(known_at(records, 426), plan).to_csv(tmp_path / "then.csv", index=False)
    then = read_crm(tmp_path / "then.csv", as_of="2024-03-01")
    pd.testing.assert_series_equal(whole.deals["brought_by"], then.deals["brought_by"])
    one, other = (fit_bringing(history)[0] for history in (whole, then))
    assert one is not None
    assert other is not None
    assert one.referrals == other.referrals


# --- checks -----------------------------------------------------------------------------------------------------------


def brought(
    n: int = 300, seed: int = 1, *, won: float = 0.5, won_if_referred: float | None = None, sooner: float = 1.0
) -> pd.DataFrame:
    """Deals of a year of which every third was brought by an earlier one that was won."""
    rng = np.random.default_rng(seed)
    born = np.sort(rng.integers(0, 310, n))
    took = rng.integers(1, 40, n)
    chance = rng.random(n)
    is_won = chance < won
    start = pd.Timestamp("2024-01-01")
    by = [""] * n
    for k in range(n):
        could = [j for j in range(k) if is_won[j] and born[j] + took[j] <= born[k]]
        by[k] = f"D{rng.choice(could)}" if could and k % 3 == 0 else ""
        if by[k]:
            took[k] = max(round(took[k] * sooner), 1)
            is_won[k] = chance[k] < (won if won_if_referred is None else won_if_referred)
    is_open = born + took >= 310
    return pd.DataFrame(
        {
            "id": [f"D{k}" for k in range(n)],
            "created": start + pd.to_timedelta(born, unit="D"),
            "closed": (start + pd.to_timedelta(born + took, unit="D")).where(~is_open),
            "stage": np.where(is_open, "Talking", np.where(is_won, "Won", "Lost")),
            "referred_by": by,
        }
    )


def history_of(folder: Path, deals: pd.DataFrame) -> History:
    deals.to_csv(folder / "deals.csv", index=False)
    return read_crm(folder / "deals.csv")


def trouble(history: History, words: str) -> Trouble:
    return next(t for t in history.quality.troubles if words in t.name)


def test_a_clean_column_is_read(tmp_path: Path) -> None:
    deals = brought()
    history = history_of(tmp_path, deals)
    assert not any("brought" in t.name for t in history.quality.troubles)
    assert (history.deals["brought_by"].fillna("") == deals["referred_by"]).all()
    assert "referred_by" not in history.attributes


def test_the_map_names_the_column(tmp_path: Path) -> None:
    brought().rename(columns={"referred_by": "Werber"}).to_csv(tmp_path / "deals.csv", index=False)
    assert "brought_by" not in read_crm(tmp_path / "deals.csv").deals
    assert "brought_by" in read_crm(tmp_path / "deals.csv", mapping={"brought_by": "Werber"}).deals


def test_unknown_ids_count_as_ordinary(tmp_path: Path) -> None:
    deals = brought()
    told = deals.index[deals["referred_by"] != ""]
    deals.loc[told[:9], "referred_by"] = "X1"
    history = history_of(tmp_path, deals)
    assert trouble(history, "an id that no deal has").count == 9
    assert history.deals["brought_by"].notna().sum() == len(told) - 9


def test_a_column_of_other_ids_is_not_used(tmp_path: Path) -> None:
    deals = brought()
    deals["referred_by"] = deals["referred_by"].str.replace("D", "person ")
    history = history_of(tmp_path, deals)
    assert "the column is not used" in trouble(history, "an id that no deal has").action
    assert fit_bringing(history) == (None, ())


def test_brought_before_the_bringer_and_in_a_circle(tmp_path: Path) -> None:
    deals = brought()
    deals["referred_by"] = ""
    deals.loc[10, "referred_by"] = "D200"
    deals.loc[50, "referred_by"] = "D50"
    deals.loc[[71, 70], "created"] = deals.loc[70, "created"]
    deals.loc[71, "referred_by"], deals.loc[70, "referred_by"] = "D70", "D71"
    history = history_of(tmp_path, deals)
    assert trouble(history, "before the bringer").examples == ("D10",)
    assert trouble(history, "in a circle").count == 3
    assert history.deals["brought_by"].isna().all()


def test_a_column_filled_in_with_the_win_is_not_used(tmp_path: Path) -> None:
    deals = brought()
    deals.loc[deals["stage"] != "Won", "referred_by"] = ""
    deals.loc[deals["stage"] == "Won", "referred_by"] = "D0"
    history = history_of(tmp_path, deals)
    assert "not used" in trouble(history, "only once it has ended").action
    assert history.deals["brought_by"].isna().all()
    early = read_crm(tmp_path / "deals.csv", as_of="2024-06-01")
    assert early.deals["brought_by"].isna().all()


@pytest.mark.parametrize("n", [800, 3000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_column_filled_in_mostly_with_the_win_is_not_used(tmp_path: Path, n: int, seed: int) -> None:
    """Few lost deals and no open ones have it, though it is empty for most won deals too."""
    deals = brought(n, seed, won=0.4)
    later = np.random.default_rng(seed).random(n) < 0.85
    emptied = (deals["stage"] == "Talking") | ((deals["stage"] == "Lost") & later)
    deals.loc[emptied, "referred_by"] = ""
    history = history_of(tmp_path, deals)
    assert "not used" in trouble(history, "only once it has ended").action
    assert "brought" not in history.attributes


@pytest.mark.parametrize("n", [300, 800, 3000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_referred_deals_may_be_won_more_often_and_sooner(tmp_path: Path, n: int, seed: int) -> None:
    deals = brought(n, seed, won=0.3, won_if_referred=0.75, sooner=0.25)
    history = history_of(tmp_path, deals)
    assert not any("brought" in t.name for t in history.quality.troubles)
    assert "brought" in history.attributes


def test_referrals_that_were_all_won_are_not_used(tmp_path: Path) -> None:
    """As with any other column: a value that only won deals have gives the outcome away."""
    deals = brought()
    told = deals.index[(deals["stage"] == "Won") & (deals["referred_by"] != "")]
    deals.loc[~deals.index.isin(told[:25]), "referred_by"] = ""
    history = history_of(tmp_path, deals)
    assert "not used" in trouble(history, "only once it has ended").action


def test_too_few_referrals_are_ordinary_deals(tmp_path: Path) -> None:
    deals = brought()
    deals.loc[30:, "referred_by"] = ""
    found = fit(history_of(tmp_path, deals))
    assert any("too few to fit" in said for said in found.assumptions)
    assert REFERRED not in found.tree["sources"]
