"""A bridge as JSON and as a folder of tables and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simfunnel.forecasting.bridging import Bridge, rounded_steps
from simfunnel.runs import plain, version, write_tables_and_pictures


def results_json(bridge: Bridge) -> dict[str, Any]:
    """What `bridge --json` prints: the steps, and the deals that changed."""
    said = {
        **_asked(bridge),
        "version": version(),
        "steps": [{str(k): _known(v) for k, v in row.items()} for row in bridge.table.to_dict("records")],
        "deals": bridge.deals[bridge.deals["change"] != 0].to_dict("records"),
        "notes": list(bridge.notes),
    }
    return dict(plain(said))


def _asked(bridge: Bridge) -> dict[str, Any]:
    """What was asked."""
    return {
        "period": bridge.period,
        "from": bridge.since.isoformat(),
        "to": bridge.until.isoformat(),
        "currency": bridge.currency,
        "seed": bridge.seed,
        "replications": bridge.replications,
        "target": bridge.target,
    }


def _known(value: Any) -> Any:
    return None if str(value) == "<NA>" else value


def write_bridge(bridge: Bridge, folder: Path) -> Path:
    """Write the folder of a bridge: steps, deals, each replication's bookings along the path, and a picture."""
    from simfunnel import plots

    picture = plots.bridge(
        bridge.table,
        rounded_steps(bridge.table),
        period=bridge.period,
        names=(str(bridge.since), str(bridge.until)),
        currency=bridge.currency,
        note=f"{bridge.replications} replications, seed {bridge.seed}; what each step is: simfunnel bridge --help",
    )
    totals = bridge.totals.rename_axis("replication").reset_index()
    return write_tables_and_pictures(
        folder,
        tables={"bridge": bridge.table, "deals": bridge.deals, "totals": totals},
        figures={"bridge": picture},
        manifest={
            "command": "bridge",
            **_asked(bridge),
            "notes": list(bridge.notes),
        },
    )
