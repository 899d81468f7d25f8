"""People of a log of tasks who worked nearly every day and then did nothing for weeks: are they away, or gone?"""

from __future__ import annotations

import pandas as pd

from simfunnel.crm.evidence import Evidence, Found, Trouble

__all__ = ["GONE_FOR", "long_absences"]

GONE_FOR = 28  # days of silence after which a fit takes somebody to have left
_SILENT = pd.Timedelta(days=14)  # from which on an absence is told
_LONG_AGO = pd.Timedelta(days=91)  # who did the last task before that has left, which nobody doubts
_BEFORE = pd.Timedelta(days=56)  # over which somebody must have worked nearly every day
_NEARLY = 0.6  # of the days with tasks: five of seven where others work at weekends
_FEWEST = 15  # days of work in that time; fewer tell no habit
_MISSED = 6  # days of work that somebody should have had since
_ACTION = (
    f"a fit takes who has been silent for over {GONE_FOR} days to have left the team, and counts others as at work"
)
_BIAS = (
    "if who counts as gone comes back, queues and times are forecast too long; if who counts as at work does not, too "
    "short: put the team's members right in the scenario"
)


def long_absences(evidence: Evidence) -> Found:
    """People who worked nearly every day and have done no task for two weeks or more, though others have."""
    tasks = evidence.tasks
    if tasks.empty:
        return None
    known = tasks[tasks["member"].notna() & tasks["start"].notna()]
    done = pd.DataFrame({"member": known["member"], "day": known["start"].dt.normalize()}).drop_duplicates()
    every = done["day"].drop_duplicates()
    now = pd.Timestamp(evidence.as_of)
    last = done.groupby("member")["day"].max()
    silent = last[(now - last >= _SILENT) & (now - last <= _LONG_AGO)]
    away = {str(name): day for name, day in silent.items() if _missed(done[done["member"] == name], every, day)}
    if not away:
        return None
    shown = tuple(f"{name} (last seen on {day.date()})" for name, day in sorted(away.items()))
    name = "people who worked nearly every day and have been silent for two weeks or more"
    return Trouble(name, len(away), len(away) / len(last), shown, _ACTION, _BIAS, "people"), evidence


def _missed(mine: pd.DataFrame, every: pd.Series[pd.Timestamp], last: pd.Timestamp) -> bool:
    """Whether somebody worked nearly every day until the last, and has missed some days on which others worked."""
    days = mine["day"]
    worked = int((days > last - _BEFORE).sum())
    there = int(((every > max(last - _BEFORE, days.min() - pd.Timedelta(days=1))) & (every <= last)).sum())
    share = worked / there
    return worked >= _FEWEST and share >= _NEARLY and share * int((every > last).sum()) >= _MISSED
