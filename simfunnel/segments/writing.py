"""The tables for the screen, as JSON and as files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from simfunnel.formatting import count, money, share
from simfunnel.runs import plain, version, write_tables_and_pictures
from simfunnel.scenario.documents import dump
from simfunnel.segments.asking import Segments

_TITLES = {
    "rfm": "Recency (days), frequency (orders), money: what each score stands for",
    "pyramid": "Customer pyramid (money of the window)",
    "abc": "ABC (all money so far)",
    "lifetime": "Lifetime value by class of the pyramid (margin: of the window)",
    "foretells": "Which grading foretells the year after the split: what its best fifth of customers brings",
}
_SHARES = ("customer_share", "money_share", "retention", "captured", "captured_se")
_COUNTS = ("customers", "buyers", "again", "best")
_TEXTS = ("class", "measure", "grading")


def shown(segments: Segments) -> list[tuple[str, pd.DataFrame]]:
    """The tables as texts for the screen, each with its title."""
    return [(title, _as_text(segments.tables[name])) for name, title in _TITLES.items() if name in segments.tables]


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    def write(name: str, row: Mapping[Any, Any]) -> str:
        value = row[name]
        if name in _TEXTS:
            return str(value)
        if name in _SHARES:
            return share(value)
        if name in ("z", "rank_correlation"):
            return "–" if math.isnan(value) else f"{value:.{1 if name == 'z' else 2}f}"
        is_count = name in (*_COUNTS, "score") or (name in ("low", "high") and row["measure"] != "money")
        return count(value) if is_count else money(value)

    rows = [[write(name, row) for name in table.columns] for row in table.to_dict("records")]
    return pd.DataFrame(rows, columns=[str(name).replace("_", " ") for name in table.columns])


def results_json(segments: Segments) -> dict[str, Any]:
    """What `segments --json` prints: every table but that of the customers; what has no value is None."""
    said = {
        "name": segments.name,
        "as_of": segments.as_of,
        "currency": segments.currency,
        "replications": segments.replications,
        "seed": segments.seed,
        "version": version(),
        "tables": {name: t.to_dict("records") for name, t in segments.tables.items() if name != "customers"},
        "grades": segments.grades,
        "notes": segments.notes,
    }
    return dict(plain(said))


def write_segments(segments: Segments, folder: Path | str) -> Path:
    """Write the tables as `tables/NAME.csv` (and Parquet), and `grades.yaml` for a scenario. Raises as `write_run`."""
    manifest = {
        "name": segments.name,
        "as_of": segments.as_of.isoformat(),
        "replications": segments.replications,
        "seed": segments.seed,
        "command": "segments",
        "notes": segments.notes,
    }
    texts = {"grades.yaml": dump(segments.grades)} if segments.grades else {}
    return write_tables_and_pictures(folder, tables=segments.tables, manifest=manifest, texts=texts)
