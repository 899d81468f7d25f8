"""What the chance to go forward may depend on: nothing that tells afterwards how far a deal came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from simfunnel.crm import History, read_crm
from simfunnel.crm.exporting import as_export
from simfunnel.fitting.fit import fit
from simfunnel.replicate import records_of
from simfunnel.scenario import from_tree


def log_of_events(n: int = 900) -> pd.DataFrame:
    """Cases that one clerk checks and another offers; who did the last task tells whether there was an offer."""
    rng = np.random.default_rng(1)
    start = pd.Timestamp("2025-01-06") + pd.to_timedelta(np.sort(rng.uniform(0, 300, n)), unit="D")
    rows = []
    for k, begun in enumerate(start):
        day = [begun + pd.Timedelta(days=d) for d in np.cumsum(rng.exponential([0.1, 3, 4]))]
        goes_on, wins = rng.random(2) < 0.5
        rows.append((f"C{k}", "Checked", "Ann", day[0]))
        if goes_on:
            rows.append((f"C{k}", "Offered", "Bob", day[1]))
        rows.append((f"C{k}", "Approved" if goes_on and wins else "Rejected", "Bob" if goes_on else "Ann", day[2]))
    return pd.DataFrame(rows, columns=["case_id", "activity", "resource", "end_time"])


def test_who_did_the_last_task_is_no_cause(tmp_path: Path) -> None:
    log_of_events().to_csv(tmp_path / "log.csv", index=False)
    history = read_crm(tmp_path / "log.csv", as_of="2025-10-01")
    assert set(history.deals["owner"]) >= {"Ann", "Bob"}
    found = fit(history)
    assert not any("member" in effect.get("when", {}) for effect in found.tree.get("effects", []))


def test_nor_is_it_in_a_real_log(shared_data: Path) -> None:
    found = fit(read_crm(shared_data / "loan_app" / "LoanApp.csv.gz"))
    assert not any("member" in effect.get("when", {}) for effect in found.tree.get("effects", []))


# --- values and times -------------------------------------------------------------------------------------------------


def of_values(folder: Path, seed: int, power: float, n: int = 1500) -> History:
    """Deals of which those worth f times as much take f ** power times as long to be won."""
    rng = np.random.default_rng(seed)
    born, value = np.sort(rng.integers(0, 540, n)), np.exp(rng.normal(9, 0.8, n))
    took, lost = rng.gamma(1.5, 20, n), rng.random(n) < 0.6
    took = np.ceil(took * np.where(lost, 1.0, (value / np.exp(9)) ** power)).astype(int)
    start, is_open = pd.Timestamp("2024-01-01"), born + took >= 540
    deals = pd.DataFrame(
        {
            "id": [f"D{k}" for k in range(n)],
            "created": start + pd.to_timedelta(born, unit="D"),
            "closed": (start + pd.to_timedelta(born + took, unit="D")).where(~is_open),
            "stage": np.where(is_open, "Talking", np.where(lost, "Lost", "Won")),
            "value": value.round(),
        }
    )
    deals.to_csv(folder / "deals.csv", index=False)
    return read_crm(folder / "deals.csv")


def goes_with_age(won: pd.DataFrame) -> float:
    """The correlation of the logarithms of value and time to win."""
    days = (won["closed"].astype("datetime64[s]") - won["created"].astype("datetime64[s]")) / pd.Timedelta(days=1)
    return float(np.corrcoef(np.log(won["value"].astype(float)), np.log(days + 1))[0, 1])


def test_what_a_win_is_worth_may_depend_on_its_age(tmp_path: Path) -> None:
    history = of_values(tmp_path, 1, 0.5)
    found = fit(history)
    factors = found.table.set_index("what")["estimate"].filter(like="effects.time").to_numpy()
    assert factors[0] < 0.85 < 0.95 < factors[1] < 1.1 < 1.25 < factors[2]
    assert any("the time to win depends on the value" in said for said in found.assumptions)
    simulated = as_export(*records_of(from_tree(found.tree).override({"horizon": "3 years"}), seed=1))
    deals = history.deals
    seen = goes_with_age(deals[deals["outcome"] == "won"])
    made = goes_with_age(simulated[simulated["stage"] == "Closed Won"].rename(columns={"amount": "value"}))
    assert seen > 0.3
    assert abs(made - seen) < 0.15  # bands of values say a little less than the values


def test_where_values_say_nothing_of_times_nothing_is_written(tmp_path: Path) -> None:
    for seed in range(2, 6):
        assert not any("time" in effect for effect in fit(of_values(tmp_path, seed, 0.0)).tree["effects"])
