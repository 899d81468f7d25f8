"""Channels become sources of their own, whose sum is as sure as the rate of all, and whose deals keep their odds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfunnel.crm import History, read_crm
from simfunnel.crm.exporting import as_export
from simfunnel.fitting import Fitted, fit
from simfunnel.fitting.channels import FEWEST, POOLED
from simfunnel.forecasting.forecast import forecast, from_today
from simfunnel.replicate import records_of
from simfunnel.scenario import from_tree, load_text
from simfunnel.units import Uncertain, read_factor, read_rate
from tests import exports
from tests.test_fit import TO_BE_FILLED, export, history_of

MIX = {"organic search": 0.45, "paid_search": 0.3, "social": 0.15, "other": 0.06, "fair": 0.005, "post": 0.005}


def with_channels(n: int = 1500, seed: int = 1, column: str = "origin") -> pd.DataFrame:
    """Deals of a year, whose channels are drawn by chance; some cells are empty."""
    deals = export(n, seed).drop(columns="owner")
    levels = [*MIX, ""]
    deals[column] = np.random.default_rng(seed).choice(levels, n, p=[*MIX.values(), 1 - sum(MIX.values())])
    return deals


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return history_of(tmp_path_factory.mktemp("channels"), with_channels(), "2024-12-30")


@pytest.fixture(scope="module")
def fitted(history: History) -> Fitted:
    return fit(history)


def test_each_large_channel_is_a_source(fitted: Fitted) -> None:
    sources = fitted.tree["sources"]
    assert list(sources) == [
        "organic search", "paid_search", "social", "other (channel)", "unknown", POOLED, "open deals"
    ]  # fmt: skip
    cases = fitted.tree["attributes"]["origin"]["cases"]
    assert fitted.tree["attributes"]["origin"]["by"] == "source"
    assert cases["social"] == {"social": "100%"}
    assert cases["other (channel)"] == {"other": "100%"}
    assert set(cases[POOLED]) == {"fair", "post"}
    assert load_text(fitted.to_yaml()).warnings == TO_BE_FILLED
    assert any("5 channels are sources of their own; 2 with fewer" in said for said in fitted.assumptions)


def test_every_rate_has_a_row_and_holds_the_truth(fitted: Fitted) -> None:
    table = fitted.table.set_index("what")
    for name, share in (("organic search", 0.45), ("paid_search", 0.3), ("social", 0.15), ("other (channel)", 0.06)):
        row = table.loc[f"sources.{name}.rate"]
        written = read_rate(fitted.tree["sources"][name]["rate"]).per_day
        assert isinstance(written, Uncertain)
        assert written.low == pytest.approx(row["low"], rel=0.01)
        assert written.high == pytest.approx(row["high"], rel=0.01)
        error = 1 / np.sqrt(1500 * share)
        assert abs(np.log(row["estimate"] / (share * 1500 / 365))) < 3.5 * error + 0.1, name


def test_the_sum_of_the_channels_is_as_sure_as_the_whole(tmp_path: Path) -> None:
    deals = with_channels(900)
    whole = fit(history_of(tmp_path, deals.drop(columns="origin")))
    told = fit(history_of(tmp_path, deals))
    total = read_rate(whole.tree["sources"]["new deals"]["rate"]).per_day
    assert isinstance(total, Uncertain)
    rng = np.random.default_rng(1)
    drawn = sum(_draws(read_rate(s["rate"]).per_day, rng) for s in told.tree["sources"].values() if "rate" in s)
    common = [e for e in told.tree["effects"] if "arrivals" in e and "when" not in e]
    assert common[0]["on"] == [name for name in told.tree["sources"] if name != "open deals"]
    drawn = drawn * _draws(read_factor(common[0]["arrivals"]), rng)
    np.testing.assert_allclose(
        np.quantile(drawn, [0.05, 0.5, 0.95]), [total.at(u) for u in (0.05, 0.5, 0.95)], rtol=0.02
    )


def _draws(number: Any, rng: np.random.Generator) -> np.ndarray:
    middle, half = np.log(number.low * number.high) / 2, np.log(number.high / number.low) / 2
    draws: np.ndarray = np.exp(middle + half / 1.6449 * rng.standard_normal(40_000))
    return draws


def test_shares_drift_where_that_forecasts_better(tmp_path: Path, fitted: Fitted) -> None:
    assert not any("weeks count half" in said for said in fitted.assumptions)
    deals = with_channels()
    late = (deals["created"] > "2024-05-01") & (deals["origin"] == "organic search")
    deals.loc[late[late].index[::4], "origin"] = "organic search"
    deals.loc[late[late].index[1::2], "origin"] = "social"
    found = fit(history_of(tmp_path, deals, "2024-12-30"))
    assert any("weeks count half" in said for said in found.assumptions)
    rate = found.table.set_index("what")["estimate"]
    now = deals.loc[deals["created"] > "2024-05-01", "origin"].value_counts(normalize=True)
    ratio = rate["sources.social.rate"] / rate["sources.organic search.rate"]
    assert ratio == pytest.approx(now["social"] / now["organic search"], rel=0.2)


def test_weekdays_are_a_channels_own_only_where_they_differ(tmp_path: Path, fitted: Fitted) -> None:
    weeks = [source.get("weekday") for source in fitted.tree["sources"].values() if "rate" in source]
    assert all(week == weeks[0] for week in weeks)
    deals = with_channels()
    monday = (deals["created"].dt.day_of_week == 0) & (deals["origin"] == "paid_search")
    deals.loc[monday, "origin"] = "organic search"
    found = fit(history_of(tmp_path, deals, "2024-12-30"))
    assert any("their weekdays differ" in said for said in found.assumptions)
    paid, organic = (found.tree["sources"][name]["weekday"] for name in ("paid_search", "organic search"))
    assert float(paid["Mon"][1:]) < 0.3
    assert float(organic["Mon"][1:]) > 1.2


# --- odds -------------------------------------------------------------------------------------------------------------


def by_channel(n: int = 2400) -> pd.DataFrame:
    """Deals of which those of channel 'good' are won with 75%, those of 'bad' with 25%, within some weeks."""
    rng = np.random.default_rng(2)
    born = np.sort(rng.integers(0, 365, n))
    good = rng.random(n) < 0.5
    won = rng.random(n) < np.where(good, 0.75, 0.25)
    took = np.ceil(rng.gamma(2, 15, n)).astype(int)
    start = pd.Timestamp("2024-01-01")
    is_open = born + took >= 365
    return pd.DataFrame(
        {
            "id": [f"D{i}" for i in range(n)],
            "created": start + pd.to_timedelta(born, unit="D"),
            "closed": (start + pd.to_timedelta(born + took, unit="D")).where(~is_open),
            "stage": np.where(is_open, "Talking", np.where(won, "Won", "Lost")),
            "lead_source": np.where(good, "good", "bad"),
        }
    )


def test_open_and_new_deals_have_the_odds_of_their_channel(tmp_path: Path) -> None:
    history = history_of(tmp_path, by_channel(), "2024-12-30")
    found = fit(history)
    assert {"lead_source"} in [set(effect.get("when", {})) for effect in found.tree["effects"]]
    ready = from_today(from_tree(found.tree), history, quarters=4)
    records = pd.concat([as_export(*records_of(ready, seed=k)) for k in range(3)])
    early = records[records["created"] < "2025-06-30"]
    truth = {"good": 0.75, "bad": 0.25}
    for channel, chance in truth.items():
        mine = early[early["lead_source"] == channel]
        opened = mine[mine["source"] == "open deals"]
        new = mine[mine["source"] != "open deals"]
        assert set(new["source"]) == {channel}
        assert len(opened) > 150
        for part in (opened, new):
            share = (part["stage"] == "Closed Won").mean()
            assert share == pytest.approx(chance, abs=3.5 * 0.5 / np.sqrt(len(part) / 3) + 0.04), channel


def test_a_forecast_by_channel_and_by_source(history: History, fitted: Fitted) -> None:
    scenario = from_tree(fitted.tree)
    by_channel = forecast(scenario, history, by="origin", replications=3)
    assert by_channel.groups is not None
    assert {"social", "fair", "unknown"} <= set(by_channel.groups["group"])
    by_source = forecast(scenario, history, by="source", replications=3)
    assert by_source.groups is not None
    assert {"social", POOLED, "open deals"} <= set(by_source.groups["group"])
    assert any("'origin' tells the channel of open and won ones" in note for note in by_source.notes)
    assert not any("tells the channel" in note for note in by_channel.notes)
    assert set(by_channel.parts["part"]) == {"already won", "open deals", "not yet created"}


# --- the column -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["LeadSource", "Original source", "utm_source", "Channel", "property_source"])
def test_the_column_is_known_by_its_usual_names(tmp_path: Path, column: str) -> None:
    assert history_of(tmp_path, with_channels(300, column=column)).channel == column


def test_the_map_says_which_column_it_is(tmp_path: Path) -> None:
    with_channels(300, column="Woher").to_csv(tmp_path / "deals.csv", index=False)
    assert read_crm(tmp_path / "deals.csv").channel == ""
    assert read_crm(tmp_path / "deals.csv", mapping={"channel": "Woher"}).channel == "Woher"


@pytest.mark.parametrize("kind", ["salesforce", "hubspot", "event_log"])
def test_histories_tell_it_too(tmp_path: Path, kind: str) -> None:
    history = read_crm(*exports.write(tmp_path, exports.WITH_HISTORY[kind](exports.world())))
    assert history.channel in {"LeadSource", "property_source", "case source"}
    assert set(history.deals[history.channel]) == {"web", "fair"}


def test_a_channel_that_is_set_when_a_deal_is_won_is_none(tmp_path: Path) -> None:
    deals = with_channels(600)
    deals.loc[deals["stage"] != "Won", "origin"] = ""
    history = history_of(tmp_path, deals)
    assert history.channel == ""
    assert any("'origin' is not used: it gives the outcome away" in said for said in history.assumptions)
    assert "new deals" in fit(history).tree["sources"]


def test_many_rare_channels_are_pooled(tmp_path: Path) -> None:
    deals = with_channels(600)
    deals["origin"] = [f"ad {k % 90}" if k % 2 else "web" for k in range(len(deals))]
    history = history_of(tmp_path, deals)
    assert history.deals["origin"].nunique() == 40
    assert set(fit(history).tree["sources"]) == {"web", "rare channels", POOLED, "open deals"}


@pytest.mark.parametrize("n", [3, 12, FEWEST - 1])
def test_too_few_deals_are_one_source(tmp_path: Path, n: int) -> None:
    found = fit(history_of(tmp_path, with_channels(n)))
    assert list(found.tree["sources"]) == ["new deals", "open deals"]
    assert load_text(found.to_yaml())


@pytest.mark.parametrize(
    "levels",
    [
        ["referrals", "referrals (channel)", "web"],
        ["referrals (channel)", "referrals", "referrals (channel) (channel)"],
        ["other channels", "all other channels", "other channels (channel)"],
        ["open deals", "new deals", "a -> b", "other"],
    ],
)
def test_every_source_has_a_name_of_its_own(tmp_path: Path, levels: list[str]) -> None:
    deals = with_channels(900)
    rare = [f"rare {k}" for k in range(4)]
    chance = [*[0.95 / len(levels)] * len(levels), *[0.05 / 4] * 4]
    deals["origin"] = np.random.default_rng(1).choice([*levels, *rare], 900, p=chance)
    found = fit(history_of(tmp_path, deals))
    sources = found.tree["sources"]
    assert len(sources) == len(levels) + 2
    cases = found.tree["attributes"]["origin"]["cases"]
    set_by = [list(cases[name]) for name in sources if name != "open deals"]
    assert sorted(level for mine in set_by for level in mine) == sorted([*levels, *rare])
    assert load_text(found.to_yaml()).warnings == TO_BE_FILLED


def test_channels_beyond_the_largest_are_said_to_be_so(tmp_path: Path) -> None:
    deals = with_channels(3000)
    deals["origin"] = np.random.default_rng(1).choice([f"Campaign {chr(65 + k)}" for k in range(25)], 3000)
    said = fit(history_of(tmp_path, deals)).assumptions
    assert any("20 channels are sources of their own; 5 beyond the 20 largest are pooled" in s for s in said)
    deals.loc[:19, "origin"] = "once in a while"
    said = fit(history_of(tmp_path, deals)).assumptions
    assert any("5 beyond the 20 largest and 1 with fewer than 30 deals are pooled" in s for s in said)


@pytest.mark.parametrize("form", ["{}", "ch{}", "2024-03-{:02}", "{}%"])
@pytest.mark.parametrize("column", ["Lead source", "Campaign"])
def test_codes_that_read_as_numbers_or_dates_are_channels(tmp_path: Path, form: str, column: str) -> None:
    deals = with_channels(900, column=column)
    codes = [form.format(k + (1 if "03" in form else 1001)) for k in range(25)]
    deals[column] = np.random.default_rng(1).choice(codes, len(deals))
    deals.to_csv(tmp_path / "deals.csv", index=False)
    history = read_crm(tmp_path / "deals.csv", mapping={"channel": "Campaign"} if column == "Campaign" else None)
    assert history.channel == column
    assert len(fit(history).tree["sources"]) > 10
    assert load_text(fit(history).to_yaml()).warnings == TO_BE_FILLED


@pytest.mark.parametrize(("kind", "words"), [("all one", "1 different value"), ("all different", "900 different")])
def test_a_channel_that_can_not_be_used_is_told_why(tmp_path: Path, kind: str, words: str) -> None:
    deals = with_channels(900)
    deals["origin"] = "web" if kind == "all one" else [f"click {k}" for k in range(len(deals))]
    history = history_of(tmp_path, deals)
    assert history.channel == ""
    assert any("the channel 'origin' is not used" in said and words in said for said in history.assumptions)
