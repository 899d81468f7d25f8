"""What the chance to go forward may depend on: nothing that tells afterwards how far a deal came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from simfunnel.crm import read_crm
from simfunnel.fitting.fit import fit


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
