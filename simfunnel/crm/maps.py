"""What a user says about an export (`--map FILE`): its columns, its stages, its currencies, how its dates are written.

```yaml
created: Erstellt am              # part of a deal, or of an event -> the file's column
stage: Vertriebsphase
channel: Herkunft                 # where a deal came from: each channel with enough deals becomes a source
brought_by: Geworben von          # the id of the deal whose people referred it
stages:
  won: [Vertrag]                  # names, however they are cased or spaced
  lost: [Absage, Kein Bedarf]
  order: [Anfrage, Angebot, Verhandlung]
  work: [W_Anruf]                 # of an event log: activities that are work and no stages
  names: {"1093": Angebot}        # as written in the file -> as it shall be called
currencies: {EUR: 1.1, USD: 1}    # what one of each is worth in the currency of the forecast
dates: day first                  # or: month first, or a format such as "%d.%m.%y"
timezone: Europe/Berlin           # the local time into which times with a time zone are turned
tables: [opportunity, "SELECT ..."]   # of a database
```
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simfunnel.crm.names import ALIASES, CHANGES, EVENTS, TASKS, normal
from simfunnel.errors import Fault, InputError, not_among
from simfunnel.scenario.documents import parse, read_text

Said = Mapping[str, Any] | str | Path | None

PARTS = tuple(dict.fromkeys([*ALIASES, *EVENTS, *TASKS, *CHANGES]))
_OTHERS = ("stages", "currencies", "dates", "timezone", "tables")
_STAGES = ("won", "lost", "order", "work", "names")
_EXAMPLE = (
    "stages: write for example {won: [Signed], lost: [Declined, Dead]}; allowed are won, lost, order, work, names"
)


@dataclass(frozen=True)
class Map:
    """What was said, checked; empty where nothing was.

    `ends` has the normal form of each stage that is said to be won or lost; `order` and `work` are names as written.
    `rates` has the worth of one of each currency. `form` is a date format, `day_first` None where nothing was said.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    work: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    day_first: bool | None = None
    form: str = ""
    zone: str = ""
    tables: tuple[str, ...] = ()

    def name_of(self, stage: str) -> str:
        """A stage as it shall be called."""
        return self.names.get(normal(stage), stage)


def read_map(said: Said) -> Map:
    """A map from a YAML file or a dict. Raises InputError with every fault in it."""
    if said is None:
        return Map()
    where = str(said) if isinstance(said, (str, Path)) else ""
    tree: dict[str, Any] = parse(read_text(Path(where)), where).tree if where else dict(said)  # type: ignore[arg-type]
    faults: list[str] = []
    parts = {key: value for key, value in tree.items() if key in PARTS}
    strange = [key for key in tree if key not in PARTS and key not in _OTHERS]
    faults += [not_among(key, "part of a deal in a column map", [*ALIASES, *EVENTS, *_OTHERS]) for key in strange]
    faults += [f"{k}: name one column, not {type(v).__name__}" for k, v in parts.items() if isinstance(v, (list, dict))]
    stages = tree.get("stages") or {}
    if not isinstance(stages, Mapping) or not set(stages) <= set(_STAGES):
        faults.append(_EXAMPLE)
        stages = {}
    ends = {normal(name): end for end in ("won", "lost") for name in _names(stages.get(end))}
    both = {normal(n) for n in _names(stages.get("won"))} & {normal(n) for n in _names(stages.get("lost"))}
    faults += [f"stages: '{name}' can't be both won and lost" for name in sorted(both)]
    names = stages.get("names") or {}
    if not isinstance(names, Mapping):
        faults.append('stages: names: write for example {"1093": Proposal}')
        names = {}
    day_first, form = _dates(tree.get("dates"), faults)
    zone = _zone(tree.get("timezone"), faults)
    rates = _rates(tree.get("currencies"), faults)
    if faults:
        raise InputError([Fault(message, file=where) for message in faults])
    return Map(
        columns={key: str(value) for key, value in parts.items() if value is not None},
        ends=ends,
        order=tuple(_names(stages.get("order"))),
        work=tuple(_names(stages.get("work"))),
        names={normal(key): str(value) for key, value in names.items()},
        rates=rates,
        day_first=day_first,
        form=form,
        zone=zone,
        tables=tuple(_names(tree.get("tables"))),
    )


def _names(said: object) -> list[str]:
    """One name or several, as texts."""
    items: Iterable[object] = said if isinstance(said, (list, tuple)) else [] if said is None else [said]
    return [str(item) for item in items]


def _dates(said: object, faults: list[str]) -> tuple[bool | None, str]:
    """Whether the day comes first, where that was said, and a format."""
    if said is None or said in ("day first", "month first"):
        return (None if said is None else said == "day first"), ""
    text = str(said)
    if not {"d", "m"} <= set(text.replace("b", "m").replace("B", "m")) or "%" not in text:
        faults.append(f"dates: '{text}' is none of: day first; month first; a format such as \"%d.%m.%Y\"")
    return None, text


def _zone(said: object, faults: list[str]) -> str:
    if said is None:
        return ""
    try:
        zoneinfo.ZoneInfo(str(said))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        faults.append(f"timezone: '{said}' is no time zone; write one as Europe/Berlin")
    return str(said)


def _rates(said: object, faults: list[str]) -> dict[str, float]:
    """Currency -> what one of it is worth."""
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        faults.append("currencies: write for example {EUR: 1.1, USD: 1}")
        return {}
    rates = {}
    for name, rate in said.items():
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < float("inf"):
            faults.append(f"currencies: {name}: {rate!r} is no rate; write what one {name} is worth, such as 1.1")
        else:
            rates[str(name).strip().upper()] = float(rate)
    return rates


__all__ = ["PARTS", "Map", "Said", "read_map"]
