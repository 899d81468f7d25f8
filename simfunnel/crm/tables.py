"""From columns of text to dates and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.formatting import counted

AS_WRITTEN = "as written"
_YEARS = (1970, 2100)  # a date outside is a placeholder (1900-01-01, 9999-12-31) or a slip
_CLOCK = r"(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?\s*([AaPp])?\.?[Mm]?\.?)?"
_NUMERIC_DATE = rf"^(\d{{1,4}})[/.\-](\d{{1,2}})[/.\-](\d{{1,4}}){_CLOCK}$"
_NAMED_MONTHS = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y")


@dataclass(frozen=True)
class Dates:
    """Dates read from text: `values` (NaT where there is none), where text was no date, and what was assumed."""

    values: pd.Series[Any]
    faulty: pd.Series[Any]
    assumptions: tuple[str, ...] = ()


def read_dates(text: pd.Series[Any], *, day_first: bool = False, form: str = "", zone: str = "") -> Dates:
    """Dates from a column of text: ISO, else day, month and year in some order, named months, or Unix seconds.

    A quarter (`2024Q1`) is its last day. `day_first` decides where a column leaves the order of day and month open
    (`03/04/2017`): see `day_comes_first`. `form` is a format as of `strptime` (`%d.%m.%y`), tried before all else.
    Times with a time zone are turned into those of `zone`, or UTC; with `AS_WRITTEN`, those with an offset (`+02:00`)
    keep the local time that is written. Years outside 1970 to 2100 count as no date.
    """
    clean = text.str.strip()
    values = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    said = []
    if form:
        values = pd.to_datetime(clean, format=form, errors="coerce").astype("datetime64[us]")
    slashed = clean.str.match(r"^\d{4}/\d{2}/\d{2}").fillna(False).astype(bool)
    if slashed.any():
        clean = clean.where(~slashed, clean.str.replace("/", "-"))
    iso = values.isna() & clean.str.match(r"^\d{4}-\d{1,2}-\d{1,2}").fillna(False).astype(bool)
    if iso.any():
        zoned = clean[iso].str.contains(r":\d{2}.*(?:Z|UTC|[+-]\d{2}:?\d{2})$", na=False)
        plain = clean[iso].str.replace(r"\s*UTC$", "Z", regex=True) if zoned.any() else clean[iso]
        parsed = pd.to_datetime(plain, format="ISO8601", errors="coerce", utc=True)
        local = parsed.dt.tz_localize(None)
        if zoned.any():
            local, words = _in_zone(plain, parsed, local, zoned, zone)
            said.append(words)
        values[iso] = local.astype("datetime64[us]")
    rest = clean[values.isna() & clean.notna()]
    for read in (_unix, _compact, _quarter, _numeric, _named):
        if len(rest):
            found = read(rest, day_first)
            values[found.index] = found
            rest = rest.drop(found.index)
    outside = values.notna() & ~values.dt.year.between(*_YEARS)
    values[outside] = pd.NaT
    return Dates(values, clean.notna() & values.isna(), tuple(said))


def _in_zone(text: pd.Series[Any], parsed: Any, local: Any, zoned: Any, zone: str) -> tuple[Any, str]:
    """Zoned times as local ones, and what was done."""
    if zone != AS_WRITTEN:
        turned = parsed.dt.tz_convert(zone).dt.tz_localize(None).where(zoned, local) if zone else local
        return turned, f"times with a time zone were turned into {zone or 'UTC'}"
    bare = text.str.replace(r"\s*(?:Z|[+-]\d{2}:?\d{2})$", "", regex=True)
    written = pd.to_datetime(bare, format="ISO8601", errors="coerce").astype("datetime64[us]")
    return written, "times with a time zone are taken as written, in their local time (timezone: in a map turns them)"


def _compact(text: pd.Series[Any], _: bool) -> pd.Series[Any]:
    """`20171231`."""
    digits = text[text.str.fullmatch(r"(?:19|20)\d{6}")]
    return pd.to_datetime(digits, format="%Y%m%d", errors="coerce").astype("datetime64[us]").dropna()


def _unix(text: pd.Series[Any], _: bool) -> pd.Series[Any]:
    """Seconds (10 digits) or milliseconds (13 digits) since 1970."""
    digits = text[text.str.fullmatch(r"\d{10}|\d{13}")]
    seconds: pd.Series[Any] = digits.astype("int64") / np.where(digits.str.len() == 13, 1000, 1)
    stamps: pd.Series[Any] = pd.to_datetime(seconds, unit="s")
    return stamps.astype("datetime64[us]")


def _quarter(text: pd.Series[Any], _: bool) -> pd.Series[Any]:
    """`2023Q1`, `2023-Q1`, `Q1 2023`: the quarter's last day, on which all of it is known."""
    found = text.str.extract(r"^(?:(\d{4})[ -]?[Qq]([1-4])|[Qq]([1-4])[ /-]?(\d{4}))$")
    found = found[found[0].notna() | found[3].notna()]
    if found.empty:
        return pd.Series(dtype="datetime64[us]")
    periods = pd.PeriodIndex(found[0].fillna(found[3]) + "Q" + found[1].fillna(found[2]), freq="Q")
    days = periods.asfreq("D", how="END").to_timestamp()
    return pd.Series(days, index=found.index).astype("datetime64[us]")


def _numeric(text: pd.Series[Any], day_first: bool) -> pd.Series[Any]:
    """`31/12/2017`, `12-31-17 08:55 PM`, `2017/12/31`: the year is the part of four digits, or the last."""
    parts = text.str.extract(_NUMERIC_DATE).dropna(subset=[0])
    year_first = parts[0].str.len() == 4
    first, second, third = (parts[i].astype("int64") for i in range(3))
    day_at = np.where(year_first, third, np.where(day_first, first, second))
    month = np.where(year_first, second, np.where(day_first, second, first))
    year = np.where(year_first, first, third)
    hour = parts[3].fillna("0").astype("int64")
    half = parts[6].str.lower()
    hour = hour.where(half.isna(), hour % 12 + 12 * (half == "p"))
    stamps = pd.to_datetime(
        pd.DataFrame(
            {
                "year": np.where(year < 100, year + 2000, year),
                "month": month,
                "day": day_at,
                "hour": hour.to_numpy(),
                "minute": parts[4].fillna("0").astype("int64").to_numpy(),
                "second": parts[5].fillna("0").astype("int64").to_numpy(),
            },
            index=parts.index,
        ),
        errors="coerce",
    )
    return stamps.dropna().astype("datetime64[us]")


def _named(text: pd.Series[Any], _: bool) -> pd.Series[Any]:
    """`3 Mar 2017`, `March 3, 2017`, with or without a time behind."""
    bare = text.str.replace(r"[ T]+\d{1,2}:\d{2}(:\d{2})?(\.\d+)?( ?[AaPp][Mm])?$", "", regex=True).str.replace(",", "")
    values = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    for form in _NAMED_MONTHS:
        left = bare[values.isna()]
        values = values.fillna(pd.to_datetime(left, format=form, errors="coerce").astype("datetime64[us]"))
    return values.dropna()


def day_comes_first(columns: Sequence[pd.Series[Any]], until: pd.Timestamp | None = None) -> tuple[bool, str]:
    """Whether `03/04/2017` is 3 April in these columns, and a sentence where that had to be decided ('' if not).

    A part above 12 must be the day; the majority of such dates decides. With none, dots mean day first (3.4.2017),
    and slashes and dashes month first. With `until`, only dates before it count: a date with a part above 12 reads in
    one way, so that nothing later decides how an earlier one is read.
    """
    parts, known = _day_and_month(columns, until)
    if parts.empty:
        return False, ""
    shown = str((known if len(known) else parts)["text"].iloc[0])
    day_first, month_first = int((known["first"] > 12).sum()), int((known["second"] > 12).sum())
    fewer = min(day_first, month_first)
    doubt = f"; {counted(fewer, 'date fits', 'dates fit')} only the other order" if fewer else ""
    if day_first != month_first:
        wins = day_first > month_first
        return wins, f"dates such as '{shown}' are read {'day' if wins else 'month'} first{doubt}"
    wins = bool(re.match(r"^\d{1,2}\.", shown))
    taken = f"taken as {'day' if wins else 'month'} first{doubt}"
    return wins, f"dates such as '{shown}' could be day or month first; {taken}"


@dataclass(frozen=True)
class OtherOrder:
    """Dates that fit only the order of day and month in which a column is not read.

    Of all `dates` whose order matters (day and month differ), `open` have both parts up to 12, so that they may be
    either; of the rest, `misfits` fit only the other order.
    """

    misfits: int
    open: int
    dates: int
    example: str

    @property
    def share(self) -> float:
        """The share of misfits among the dates that tell their order."""
        return self.misfits / (self.dates - self.open)


def other_order(columns: Sequence[pd.Series[Any]], day_first: bool, until: pd.Timestamp | None) -> OtherOrder | None:
    """The dates that fit only the other order, of those before `until`; None where there are none."""
    _, known = _day_and_month(columns, until)
    month, day = (known["second"], known["first"]) if day_first else (known["first"], known["second"])
    misfits = (month > 12) & (day <= 12)
    if not misfits.any():
        return None
    either = (month <= 12) & (day <= 12) & (month != day)
    sure = misfits | ((day > 12) & (month <= 12))
    return OtherOrder(
        misfits=int(misfits.sum()),
        open=int(either.sum()),
        dates=int(either.sum() + sure.sum()),
        example=str(known.loc[misfits, "text"].iloc[0]),
    )


def _day_and_month(columns: Sequence[pd.Series[Any]], until: pd.Timestamp | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first two numbers of all dates that end in the year, and the same of those known to be before `until`."""
    text = pd.concat([column.dropna().str.strip() for column in columns], ignore_index=True)
    text = text[~text.str.match(r"\d{4}")]
    parts = text.str.extract(_NUMERIC_DATE).dropna(subset=[0])
    found = pd.DataFrame(
        {"text": text[parts.index], "first": parts[0].astype("int64"), "second": parts[1].astype("int64")}
    )
    if until is None or found.empty:
        return found, found
    by_day, by_month = (_numeric(found["text"], order).reindex(found.index) for order in (True, False))
    return found, found[(by_day.isna() | (by_day < until)) & (by_month.isna() | (by_month < until))]


def each_name(text: pd.Series[Any], to: Callable[[str], Any]) -> pd.Series[Any]:
    """A column of few different names, each turned by `to` once; missing cells stay missing."""
    return text.map({name: to(name) for name in text.dropna().unique()})


def read_numbers(text: pd.Series[Any], *, money: bool = False) -> tuple[pd.Series[float], str]:
    """Numbers from text with currency signs and thousands marks (else NaN), and what was assumed of `{}`, or ''.

    Of a comma and a dot in one number the last is decimal, and a mark that comes twice parts thousands. A lone comma is
    decimal before one or two digits at the end; before three, where the column has such decimal commas and no decimal
    dots. A lone dot is decimal, unless commas are; but where all dots among sums of `money` stand before three digits,
    and no number of four digits does without, they part thousands ("1.200 EUR").
    """
    clean = text.str.replace(r"[^\d.,()\-eE]", "", regex=True).str.replace(r"^[eE]+|[eE]+$", "", regex=True)
    negative = clean.str.match(r"^\(.*\)$").fillna(False).astype(bool)
    clean = clean.str.strip("()")
    dots, commas = (clean.str.count(mark).fillna(0) for mark in (r"\.", ","))
    comma_last = clean.str.rfind(",") > clean.str.rfind(".")
    short_comma, short_dot = (clean.str.contains(rf"{mark}\d{{1,2}}$", na=False) for mark in (",", r"\."))
    habit = bool(short_comma.any() and not short_dot.any())
    grouped = money and not habit and _dots_part_thousands(clean)
    both = (dots > 0) & (commas > 0)
    comma = (both & comma_last) | (~both & (commas == 1) & (short_comma | habit))
    dot = (both & ~comma_last) | (~both & (dots == 1) & (not habit and not grouped))
    bare = clean.str.replace(r"[.,]", "", regex=True)
    whole = clean.str.replace(r"[.,](?=.*[.,])", "", regex=True).str.replace(",", ".", regex=False)
    numbers = pd.to_numeric(whole.where(comma | dot, bare), errors="coerce").astype("float64")
    said = "commas in {} are decimal" if habit else "dots in {} part thousands" if grouped else ""
    return numbers.where(np.isfinite(numbers)).where(~negative, -numbers), said


def _dots_part_thousands(numbers: pd.Series[Any]) -> bool:
    """Whether all dots may part thousands, and no number shows that they don't."""
    dotted = numbers[numbers.str.contains(".", regex=False, na=False)]
    plain = numbers[numbers.str.fullmatch(r"-?\d{4,}", na=False)]
    return bool(len(dotted) and plain.empty and dotted.str.fullmatch(r"-?[1-9]\d{0,2}(?:\.\d{3})+").all())
