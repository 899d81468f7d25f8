"""A CRM's export as a history: which deals there were, how they ended, and what was known on a date.

`read_export` reads the whole file. `Export.until` cuts away everything that was not known on the as-of date before
anything else looks at the deals, mends what can't be trusted and lists it. `read_crm` does both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.names import ALIASES, NEVER_ATTRIBUTES, REQUIRED, normal, outcome_named, truth
from simfunnel.crm.quality import Evidence, QualityReport, examine, first_watched, leaks
from simfunnel.crm.tables import day_comes_first, read_dates, read_numbers, read_table
from simfunnel.errors import Fault, InputError, not_among
from simfunnel.scenario.conditions import FACTS
from simfunnel.scenario.documents import parse, read_text
from simfunnel.scenario.fields import STAYS

COLUMNS = ("id", "created", "closed", "outcome", "stage", "value", "owner")
OPEN_STAGE = "open"  # what the open stage is called where the file has several, or none
MOST_LEVELS = 40  # a column with more different values says who, not what kind
MOST_ATTRIBUTES = 8
_OWN = {"id", "created", "closed", "outcome", "owner", "other", *FACTS}  # names that a column can't keep
_FAR = timedelta(days=366)  # a few dates that come so long after all others are slips of the pen
_DAY = pd.Timedelta(days=1)

Mapping_ = Mapping[str, Any] | str | Path | None


@dataclass(frozen=True)
class History:
    """The deals of one export as they were known at the end of the as-of day.

    `deals` has one row a deal: `id`, `created`, `closed` (NaT while open), `outcome` ('won', 'lost' or 'open'),
    `stage`, `value` (NaN where unknown), `owner`, then the columns named in `attributes`. `observed_from` is the
    first day whose closings are in the export: a deal that closed earlier is missing (left truncation).
    """

    deals: pd.DataFrame = field(repr=False)
    attributes: tuple[str, ...]
    as_of: date
    observed_from: date
    assumptions: tuple[str, ...]
    quality: QualityReport
    name: str
    open_stage: str
    whole_days: bool

    @property
    def end(self) -> pd.Timestamp:
        """The first moment that is not known: midnight after the as-of day."""
        return pd.Timestamp(self.as_of) + _DAY

    def age(self, at: pd.Timestamp) -> pd.Series[float]:
        """Each deal's age in days at a moment.

        Where the file has dates without times, a deal counts from noon of its day, so that half a day comes off.
        """
        since: pd.Series[Any] = self.deals["created"].rsub(at)
        days: pd.Series[float] = since.dt.total_seconds() / 86400
        return days - 0.5 if self.whole_days else days

    def open_deals(self) -> pd.DataFrame:
        """The deals that are open at the end of the as-of day: id, stage, age (days), value, member, and attributes."""
        is_open = self.deals["outcome"] == "open"
        here = self.deals[is_open]
        columns = {
            "id": here["id"],
            "stage": self.open_stage,
            "age": self.age(self.end)[is_open].clip(lower=0.0),
            "value": here["value"],
            "member": here["owner"],
            **{name: here[name] for name in self.attributes},
        }
        return pd.DataFrame(columns, index=here.index).reset_index(drop=True)


@dataclass(frozen=True)
class Export:
    """A whole file of deals, recognised and parsed, before anything is cut away.

    `deals` has the columns of a History and beside them: `expected` (an open deal's close date), `closed_text` and
    `value_text` (as written), and every other column of the file as text. `last` is the last day on which the file
    shows something happen. `leaks` maps columns that are filled in, or cleared, only when a deal ends to how that
    was seen.
    """

    deals: pd.DataFrame = field(repr=False)
    others: tuple[str, ...]
    leaks: Mapping[str, str]
    value_comes_late: bool
    last: date
    beyond: pd.DataFrame = field(repr=False)
    whole_days: bool
    name: str
    assumptions: tuple[str, ...]

    def until(self, as_of: date | str | None = None) -> History:
        """The history as it was known at the end of a day; the file's last day unless said. Raises InputError."""
        day = _read_day(as_of) if as_of is not None else self.last
        said = list(self.assumptions)
        if as_of is None:
            said.append(f"the data end on {day}, the last day on which the file shows a creation or a closing")
        elif day > self.last:
            said.append(f"the file's last day is {self.last}; nothing is taken to have happened from then to {day}")
        known, cut_words = _cut(self, day)
        said += cut_words
        evidence = Evidence(
            deals=known,
            as_of=day,
            others=self.others,
            leaks=self.leaks,
            beyond=self.beyond,
        )
        mended, quality = examine(evidence)
        deals = mended.deals
        if deals.empty:
            why = "; ".join(f"{t.name}: {t.count:,}" for t in quality.troubles)
            found = (
                f"none of the {len(known):,} deals can be used ({why})"
                if len(known)
                else f"no deals were created by {day}"
            )
            raise InputError([Fault(found, file=self.name)])
        attributes, deals, words = _attributes(deals, mended.others)
        return History(
            deals=deals[[*COLUMNS, *attributes]].reset_index(drop=True),
            attributes=attributes,
            as_of=day,
            observed_from=first_watched(deals, day),
            assumptions=tuple(said + words),
            quality=quality,
            name=self.name,
            open_stage=_open_stage(deals),
            whole_days=self.whole_days,
        )


def read_crm(path: str | Path, mapping: Mapping_ = None, as_of: date | str | None = None) -> History:
    """Read a flat export of deals (CSV, Parquet, Excel) as it was known on a date.

    Args:
        path: the file, one row a deal.
        mapping: canonical name -> column (`{created: "Start of deal"}`), or a YAML file of such a map; it wins
            over the recognised names. It may hold `stages: {won: [names], lost: [names]}`.
        as_of: the last day that is known; the file's own last day unless said.

    Raises:
        InputError: a column is missing or unknown, the file can't be read, or no deal is left.
    """
    return read_export(path, mapping).until(as_of)


def read_export(path: str | Path, mapping: Mapping_ = None) -> Export:
    """Read and recognise a whole file of deals. Raises InputError."""
    file = Path(path)
    table = read_table(file)
    columns, stages = _recognise(table, file, _read_map(mapping))
    said = [_columns_in_words(columns, table)]
    gone = columns.get("deleted")
    if gone:
        deleted = table[gone].map(truth).astype(bool)
        if deleted.any():
            said.append(f"{int(deleted.sum()):,} rows are marked as deleted ('{gone}') and left out")
        table = table[~deleted]
    if table.empty:
        raise InputError([Fault("no deals: the file has a header, and no row that counts", file=str(file))])
    deals, others, words = _canonical(table, columns, stages, file)
    if deals["created"].isna().all():
        written = deals["created_text"].dropna()
        shown = f"such as '{written.iloc[0]}'" if len(written) else "all are empty"
        message = f"no date in column '{columns['created']}' can be read ({shown}); write them as 2026-10-01"
        raise InputError([Fault(message, file=str(file))])
    whole_days = bool(_date_only(deals["created"]) or _date_only(deals["closed"]))
    if whole_days:
        for name in ("created", "closed", "expected"):
            deals[name] = deals[name].dt.normalize()
    last, beyond = _last_day(deals)
    late = _value_comes_late(deals)
    if late:
        words.append("values are filled in only when a deal closes, so an open deal's value is unknown")
    return Export(
        deals=deals,
        others=others,
        leaks=leaks(deals, others),
        value_comes_late=late,
        last=last,
        beyond=beyond,
        whole_days=whole_days,
        name=file.name,
        assumptions=tuple(said + words),
    )


# --- which column is which --------------------------------------------------------------------------------------------


def _read_map(mapping: Mapping_) -> dict[str, Any]:
    """The map as a dict, its keys checked."""
    if mapping is None:
        return {}
    where = str(mapping) if isinstance(mapping, (str, Path)) else ""
    tree = parse(read_text(Path(where)), where).tree if where else dict(mapping)  # type: ignore[arg-type]
    faults = [
        Fault(not_among(key, "part of a deal in a column map", [*ALIASES, "stages"]), file=where)
        for key in tree
        if key not in ALIASES and key != "stages"
    ]
    stages = tree.get("stages") or {}
    if not isinstance(stages, Mapping) or not set(stages) <= {"won", "lost"}:
        faults.append(Fault("stages: write for example {won: [Signed], lost: [Declined, Dead]}", file=where))
    if faults:
        raise InputError(faults)
    return tree


def _recognise(table: pd.DataFrame, file: Path, mapping: dict[str, Any]) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Canonical name -> the file's column; and the stage names that the map declares won or lost."""
    found = {normal(column): column for column in reversed(table.columns)}
    faults = []
    columns: dict[str, str] = {}
    for name, aliases in ALIASES.items():
        said = mapping.get(name)
        if said is not None and str(said) not in table.columns:
            faults.append(Fault(f"the map says {name}: {not_among(said, 'column', table.columns)}", file=str(file)))
        alias = next((found[a] for a in aliases if a in found and found[a] not in mapping.values()), None)
        column = str(said) if said is not None else alias
        if column is not None:
            columns[name] = column
    has_outcome = bool({"stage", "outcome", "is_won", "is_closed"} & set(columns))
    missing = [n for n in REQUIRED if n not in columns and not (n == "stage" and has_outcome)]
    if missing and not faults:
        need = "; ".join(f"'{name}' ({REQUIRED[name]})" for name in missing)
        known = ", ".join(f"{name}: {column}" for name, column in columns.items()) or "none"
        example = "\n".join(f"  {name}: <its column>" for name in missing)
        faults.append(
            Fault(
                f"no column was recognised for {need}. The file's columns: {', '.join(table.columns)}. "
                f"Recognised: {known}. "
                f"Say which column it is in a file map.yaml and give it with --map map.yaml:\n{example}",
                file=str(file),
            )
        )
    if faults:
        raise InputError(faults)
    stages = {
        k: {normal(n) for n in ([v] if isinstance(v, str) else v or [])}
        for k, v in (mapping.get("stages") or {}).items()
    }
    return columns, stages


def _columns_in_words(columns: dict[str, str], table: pd.DataFrame) -> str:
    rest = [name for name in table.columns if name not in columns.values()]
    words = ", ".join(f"{name} is '{column}'" for name, column in columns.items())
    return f"columns: {words}" + (f"; others: {', '.join(rest)}" if rest else "")


# --- from text to deals -----------------------------------------------------------------------------------------------


def _canonical(
    table: pd.DataFrame, columns: dict[str, str], stages: dict[str, set[str]], file: Path
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """The deals with canonical columns in front, the names of all the others, and what was assumed."""
    nothing: pd.Series[Any] = pd.Series(np.nan, index=table.index, dtype="str")
    text: dict[str, pd.Series[Any]] = {n: table[columns[n]] if n in columns else nothing for n in ALIASES}
    day_first, order = day_comes_first([text["created"], text["closed"]])
    created, closed = (read_dates(text[name], day_first=day_first) for name in ("created", "closed"))
    outcome, words = _outcomes(text, columns, stages)
    value, comma = read_numbers(text["value"])
    said = [order, *created.assumptions, *words, "commas in values are decimal" if comma else ""]
    said += [] if words else ["nothing in the file says won or lost: every deal is taken as open"]
    if "value" not in columns:
        said.append("no column of values was found")
    if "owner" not in columns:
        said.append("no column of owners was found")
    is_open = outcome == "open"
    if not words and bool((is_open & (closed.values <= created.values.max())).any()):
        names = ", ".join(sorted(text["stage"].dropna().unique())[:12])
        raise InputError(
            [
                Fault(
                    f"deals have close dates, but no stage name says won or lost; stages found: {names}. Say "
                    "which they are in a file map.yaml and give it with --map map.yaml:\n"
                    "  stages: {won: [...], lost: [...]}",
                    file=str(file),
                )
            ]
        )
    ids = text["id"] if "id" in columns else pd.Series([f"row {n}" for n in range(2, len(table) + 2)], table.index)
    canonical = {
        "id": ids.fillna("").str.strip(),
        "created": created.values,
        "closed": closed.values.where(~is_open),
        "outcome": outcome,
        "stage": text["stage"].str.strip(),
        "value": value,
        "owner": text["owner"].str.strip(),
        "expected": closed.values.where(is_open),
        "created_text": text["created"],
        "closed_text": text["closed"].where(~is_open),
        "value_text": text["value"],
    }
    renamed = {name: name if name not in canonical and name not in _OWN else f"crm {name}" for name in table.columns}
    rest = [c for c in table.columns if c not in columns.values() and not c.startswith("_")]
    kept = table[rest].rename(columns=renamed)
    deals = pd.DataFrame(canonical, index=table.index).join(kept)
    return deals, tuple(kept.columns), list(dict.fromkeys(s for s in said if s))


def _outcomes(
    text: dict[str, pd.Series[Any]], columns: dict[str, str], stages: dict[str, set[str]]
) -> tuple[pd.Series[Any], list[str]]:
    """Each deal's outcome, and a sentence on how it was told; none where nothing says won or lost.

    Stage names of the map come first, then flags, then words in a column of outcomes, then stage names.
    """
    by_name = _names_to_outcomes(text["stage"], stages)
    told_by = "stage"
    if not stages and "outcome" in columns:
        found = _names_to_outcomes(text["outcome"], stages)
        if set(found.values()) - {"open"} or "stage" not in columns:
            by_name, told_by = found, "outcome"
    names = text[told_by]
    told = pd.Series([by_name.get(name, "open") for name in names], index=names.index, dtype="str")
    flagged = [columns[n] for n in ("is_closed", "is_won", "is_lost") if n in columns]
    if stages or not flagged:
        groups = {o: [f"'{n}'" for n, found in by_name.items() if found == o] for o in ("won", "lost", "open")}
        if not stages and not groups["won"] and not groups["lost"]:
            return told, []
        counts = {o: f"{o}: {', '.join(n[:12]) or 'none'} ({int((told == o).sum()):,})" for o, n in groups.items()}
        column = columns.get(told_by, told_by)
        return told, [f"outcomes are told by the names in '{column}'; in the whole file, {'; '.join(counts.values())}"]
    won = text["is_won"].map(truth).astype(bool) if "is_won" in columns else told == "won"
    lost = text["is_lost"].map(truth).astype(bool) if "is_lost" in columns else told == "lost"
    if "is_closed" in columns:
        closed = text["is_closed"].map(truth).astype(bool)
        won, lost = won & closed, closed & ~won
    outcome = pd.Series(np.where(won, "won", np.where(lost, "lost", "open")), index=names.index, dtype="str")
    shown = ", ".join(f"{int((outcome == o).sum()):,} {o}" for o in ("won", "lost", "open"))
    return outcome, [f"outcomes are told by the flags {', '.join(flagged)}; in the whole file, {shown}"]


def _names_to_outcomes(names: pd.Series[Any], stages: dict[str, set[str]]) -> dict[str, str]:
    """Each stage name's outcome: as the map says, else as the name says."""
    found = [str(name) for name in names.dropna().unique()]
    if not stages:
        return {name: outcome_named(name) for name in found}
    return {name: next((o for o, said in stages.items() if normal(name) in said), "open") for name in found}


def _date_only(moments: pd.Series[Any]) -> bool:
    known = moments.dropna()
    return not known.empty and bool((known == known.dt.normalize()).all())


def _last_day(deals: pd.DataFrame) -> tuple[date, pd.DataFrame]:
    """The last day on which something happened, and the rows with dates that must be slips of the pen.

    A few dates (under 0.5%) that come more than a year after all others are taken for slips.
    """
    moments = pd.concat([deals["created"], deals["closed"]]).dropna().sort_values()
    gaps = np.flatnonzero((moments.diff() > pd.Timedelta(_FAR)).to_numpy())
    slips = [g for g in gaps if len(moments) - g <= 0.005 * len(moments)]
    end = moments.iloc[slips[0] - 1] if slips else moments.iloc[-1]
    return end.date(), deals[(deals["created"] > end) | (deals["closed"] > end)]


def _value_comes_late(deals: pd.DataFrame) -> bool:
    """Whether values are known for closed deals alone, so that they tell that a deal has closed."""
    known = deals["value"].notna() & (deals["value"] != 0)
    is_open = deals["outcome"] == "open"
    if not is_open.any() or is_open.all():
        return False
    return bool(known[is_open].mean() < 0.05 and known[deals["outcome"] == "won"].mean() > 0.5)


# --- what was known ---------------------------------------------------------------------------------------------------


def _read_day(value: date | str) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InputError(f"'{value}' is no date; write it as 2026-10-01") from None


def _cut(export: Export, day: date) -> tuple[pd.DataFrame, list[str]]:
    """The deals as they were known at the end of `day`, and what that took away.

    Deals created later go. Deals closed later are open again: no outcome, no closing date, the stage's name
    unknown, and no value if values come only with the closing. Expected closing dates may have been moved since, so
    they go too.
    """
    end = pd.Timestamp(day) + _DAY
    later = export.deals["created"] >= end
    deals = export.deals[~later].copy()
    undone = deals["closed"] >= end
    deals.loc[undone, "outcome"] = "open"
    deals.loc[undone, ["closed"]] = pd.NaT
    deals.loc[undone, ["closed_text"]] = np.nan
    deals.loc[undone, "stage"] = _open_stage(export.deals)
    if day < export.last:
        deals["expected"] = pd.NaT
    if export.value_comes_late:
        deals.loc[undone, ["value", "value_text"]] = np.nan
    words = []
    if later.any() or undone.any():
        words.append(
            f"as of {day}: {int(later.sum()):,} deals created later were left out, and {int(undone.sum()):,} that "
            "closed later are open; owners and other columns are as the file has them, for it doesn't say when they "
            "were set"
        )
    return deals, words


def _open_stage(deals: pd.DataFrame) -> str:
    """The name of the stage in which deals are open, if they share one."""
    names = deals.loc[deals["outcome"] == "open", "stage"].dropna().unique()
    usable = len(names) == 1 and outcome_named(names[0]) == "open" and names[0] != STAYS and "->" not in names[0]
    return str(names[0]) if usable else OPEN_STAGE


def _attributes(deals: pd.DataFrame, others: tuple[str, ...]) -> tuple[tuple[str, ...], pd.DataFrame, list[str]]:
    """The columns that sort deals into a few kinds; missing cells become the kind 'unknown'."""
    chosen = []
    for name in others:
        column = deals[name]
        levels = column.dropna().nunique()
        few = 2 <= levels <= min(MOST_LEVELS, len(deals) / 5)
        a_number = levels > 12 and read_numbers(column.dropna())[0].notna().all()
        a_date = few and read_dates(column.dropna()).values.notna().all()
        if few and column.notna().mean() > 0.5 and not a_number and not a_date and normal(name) not in NEVER_ATTRIBUTES:
            chosen.append(name)
    left = chosen[MOST_ATTRIBUTES:]
    chosen = chosen[:MOST_ATTRIBUTES]
    deals = deals.assign(**{name: deals[name].str.strip().fillna("unknown") for name in chosen})
    said = [f"attributes of a deal: {', '.join(chosen)}"] if chosen else []
    if left:
        said.append(f"columns not used, beyond {MOST_ATTRIBUTES} attributes: {', '.join(left)}")
    return tuple(chosen), deals, said


__all__ = ["Export", "History", "read_crm", "read_export"]
