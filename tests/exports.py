"""A small sales history that is known exactly, and writers that export it as systems do, as it reads on a day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

Files = dict[str, pd.DataFrame]
PATHS = (
    ("Prospecting", "Proposal", "Negotiation", "Closed Won"),
    ("Prospecting", "Proposal", "Closed Lost"),
    ("Prospecting", "Negotiation", "Closed Won"),  # skips
    ("Prospecting", "Proposal", "Prospecting", "Proposal", "Closed Lost"),  # returns
    ("Proposal", "Closed Lost", "Negotiation", "Closed Won"),  # is opened again
    ("Prospecting", "Closed Won", "Closed Lost"),  # falls through
    ("Prospecting", "Proposal"),  # stays open
)
FLAGS = {"Closed Won": ("true", "true"), "Closed Lost": ("true", "false")}
CHANCE = {"Prospecting": 10, "Proposal": 50, "Negotiation": 80, "Closed Won": 100, "Closed Lost": 0}
CATEGORY = {"Closed Won": "Closed", "Closed Lost": "Omitted", "Negotiation": "Commit"}


class World(NamedTuple):
    """`deals`: id, created, source; `changes`: id, time, stage, amount, owner, one row for each save."""

    deals: pd.DataFrame
    changes: pd.DataFrame

    def known(self, day: str) -> World:
        """What had happened by the end of a day."""
        end = pd.Timestamp(day) + pd.Timedelta(days=1)
        return World(self.deals[self.deals["created"] < end], self.changes[self.changes["time"] < end])


def world(n: int = 120, seed: int = 1, *, owners_change: bool = True) -> World:
    """Deals created over half a year of 2024, with times to the second."""
    rng = np.random.default_rng(seed)
    deals, changes = [], []
    for k in range(n):
        time = pd.Timestamp("2024-01-02 08:00") + pd.Timedelta(seconds=int(rng.integers(0, 180 * 86400)))
        amount, owner = int(rng.integers(10, 90)) * 100, str(rng.choice(["U1", "U2", "U3"]))
        deals.append((f"D{k:04d}", time, str(rng.choice(["web", "fair"]))))
        for place, stage in enumerate(PATHS[rng.integers(len(PATHS))]):
            if place:
                time += pd.Timedelta(seconds=int(rng.exponential(9 * 86400)) + 1)
                amount += int(rng.integers(0, 2)) * 500
                owner = str(rng.choice(["U1", "U2", "U3"])) if owners_change and rng.random() < 0.2 else owner
            changes.append((f"D{k:04d}", time, stage, amount, owner))
    return World(
        pd.DataFrame(deals, columns=["id", "created", "source"]),
        pd.DataFrame(changes, columns=["id", "time", "stage", "amount", "owner"]),
    )


def _iso(times: pd.Series) -> pd.Series:
    return times.dt.strftime("%Y-%m-%d %H:%M:%S")


def salesforce(known: World) -> Files:
    """Opportunity and OpportunityHistory."""
    rows = known.changes
    history = pd.DataFrame(
        {
            "Id": [f"H{k}" for k in rows.index],
            "OpportunityId": rows["id"],
            "CreatedById": rows["owner"],
            "CreatedDate": _iso(rows["time"]),
            "StageName": rows["stage"],
            "Amount": rows["amount"],
            "CloseDate": "2024-09-30",
            "Probability": rows["stage"].map(CHANCE),
            "ForecastCategory": rows["stage"].map(CATEGORY).fillna("Pipeline"),
        }
    )
    return {"Opportunity.csv": _opportunities(known), "OpportunityHistory.csv": history}


def _opportunities(known: World) -> pd.DataFrame:
    last = known.changes.drop_duplicates("id", keep="last").set_index("id").reindex(known.deals["id"])
    stage = last["stage"].to_numpy()
    closed = [
        _iso(pd.Series([t]))[0][:10] if s in FLAGS else "2024-09-30" for s, t in zip(stage, last["time"], strict=True)
    ]
    return pd.DataFrame(
        {
            "Id": known.deals["id"],
            "Name": "Deal " + known.deals["id"],
            "StageName": stage,
            "Amount": last["amount"].to_numpy(),
            "CloseDate": closed,
            "IsClosed": [FLAGS.get(s, ("false", "false"))[0] for s in stage],
            "IsWon": [FLAGS.get(s, ("false", "false"))[1] for s in stage],
            "LeadSource": known.deals["source"],
            "OwnerId": last["owner"].to_numpy(),
            "CreatedDate": _iso(known.deals["created"]),
        }
    )


def field_history(known: World) -> Files:
    """Opportunity and OpportunityFieldHistory: one row for each field that changed."""
    rows = []
    for deal, changes in known.changes.groupby("id", sort=False):
        before = None
        for change in changes.itertuples():
            for field, part in (("StageName", "stage"), ("Amount", "amount"), ("Owner", "owner")):
                old, new = getattr(before, part, None), getattr(change, part)
                if before is not None and old != new:
                    rows.append((deal, field, old, new, change.time))
            before = change
    table = pd.DataFrame(rows, columns=["OpportunityId", "Field", "OldValue", "NewValue", "CreatedDate"])
    table["CreatedDate"] = _iso(pd.to_datetime(table["CreatedDate"]))
    return {"Opportunity.csv": _opportunities(known), "OpportunityFieldHistory.csv": table}


def hubspot(known: World) -> Files:
    """Deals and the history of their properties."""
    deals = _hubspot_deals(known)
    rows = known.changes
    parts = {
        "dealstage": rows["stage"].map(_hubspot_stage),
        "amount": rows["amount"],
        "hubspot_owner_id": rows["owner"],
    }
    history = pd.concat(
        [
            pd.DataFrame({"deal_id": rows["id"], "name": name, "value": value, "timestamp": _iso(rows["time"])})
            for name, value in parts.items()
        ]
    )
    return {"deal.csv": deals, "deal_property_history.csv": history}


def _hubspot_stage(stage: str) -> str:
    return stage.lower().replace(" ", "")


def _hubspot_deals(known: World) -> pd.DataFrame:
    deals = _opportunities(known)
    return pd.DataFrame(
        {
            "deal_id": deals["Id"],
            "property_dealstage": deals["StageName"].map(_hubspot_stage),
            "property_amount": deals["Amount"],
            "property_closedate": deals["CloseDate"],
            "property_createdate": deals["CreatedDate"],
            "property_source": deals["LeadSource"],
            "owner_id": deals["OwnerId"],
        }
    )


def hubspot_entries(known: World) -> Files:
    """Deals with the date of the last entry to each stage."""
    deals = _hubspot_deals(known).set_index("deal_id")
    for stage, rows in known.changes.assign(stage=known.changes["stage"].map(_hubspot_stage)).groupby("stage"):
        deals[f"hs_v2_date_entered_{stage}"] = _iso(rows.groupby("id")["time"].min()).reindex(deals.index)
    return {"deals.csv": deals.reset_index()}


def event_log(known: World) -> Files:
    """A row for each activity: calls take time (none goes on past midnight), changes of stage take none."""
    rows = known.changes
    moments = pd.DataFrame(
        {
            "case:concept:name": rows["id"],
            "concept:name": rows["stage"],
            "org:resource": rows["owner"],
            "start_timestamp": _iso(rows["time"]),
            "time:timestamp": _iso(rows["time"]),
        }
    )
    calls = moments.assign(**{
        "concept:name": "Call",
        "start_timestamp": _iso((rows["time"] - pd.Timedelta(minutes=7)).clip(lower=rows["time"].dt.normalize())),
    })  # fmt: skip
    log = pd.concat([calls, moments]).sort_index(kind="stable")
    amounts = rows.groupby("id")["amount"].first()
    sources = known.deals.set_index("id")["source"]
    log["case:amount"] = log["case:concept:name"].map(amounts)
    log["case:source"] = log["case:concept:name"].map(sources)
    return {"log.csv": log}


def flat(known: World) -> Files:
    """One row a deal, its close date empty while it is open."""
    deals = _opportunities(known)
    ended = deals["IsClosed"] == "true"
    return {
        "deals.csv": deals.assign(CloseDate=deals["CloseDate"].where(ended)).drop(columns=["IsClosed", "IsWon", "Name"])
    }


def write(folder: Path, files: Files) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in files.items():
        table.to_csv(folder / name, index=False)
    return [folder / name for name in files]


WITH_HISTORY: dict[str, Callable[[World], Files]] = {
    "salesforce": salesforce,
    "field_history": field_history,
    "hubspot": hubspot,
    "event_log": event_log,
}
