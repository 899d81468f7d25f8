"""What `simfunnel init` writes: a starter scenario, a sample CRM export, and the truth behind it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from simfunnel.crm.exporting import as_export
from simfunnel.errors import InputError
from simfunnel.files import write_text
from simfunnel.replicate import records_of
from simfunnel.scenario import load_text

NAMES = ("scenario.yaml", "deals.csv", "truth.yaml")


def sample_export(truth: str) -> str:
    """The sample deals as CSV, simulated from the scenario that is their truth."""
    records, plan = records_of(load_text(truth, file="truth.yaml"), seed=1)
    return str(as_export(records, plan).to_csv(index=False, lineterminator="\n"))


def write_starter(folder: Path) -> list[Path]:
    """Write the starter files; raises InputError where one of them exists already."""
    paths = [folder / name for name in NAMES]
    taken = [str(path) for path in paths if path.exists()]
    if taken:
        raise InputError(f"{', '.join(taken)} exists already; name an empty folder")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder")
    templates = files("simfunnel") / "templates"
    scenario, truth = ((templates / name).read_text("utf-8") for name in ("scenario.yaml", "truth.yaml"))
    for path, text in zip(paths, (scenario, sample_export(truth), truth), strict=True):
        write_text(path, text)
    return paths
