"""What lies in a root, as one table a newcomer can read: read back from the store, never remembered from the run."""

from collections import Counter
from pathlib import Path
from typing import Any

from flywheel import show
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record
from flywheel.verdicts import ACCEPT, current

Row = dict[str, Any]


class Summary(Record):
    """Counts of one root, stage by stage; None where a stage has not run."""

    drives: int
    recorded_s: float
    quarantined: int
    events: dict[str, int]
    not_evaluable: dict[str, str]
    variations: int
    accepted: int
    rejected: dict[str, int]
    failed: int
    datasets: list[dict[str, Any]]
    slices: list[dict[str, Any]]
    release: dict[str, Any] | None
    vehicle: dict[str, Any] | None

    def show(self, root: str) -> None:
        """Prints the tables and the next commands."""
        show.emit_rows(self._lines(), title=f"what lies in {root}", as_json=False)
        show.emit_rows(self.slices, title="slices", as_json=False)
        next_steps(root, self.datasets)

    def _lines(self) -> list[Row]:
        lines: list[Row] = [{"what": "drives", "value": f"{self.drives} ({self.recorded_s:.0f} s), {self.quarantined} quarantined"}]
        lines += [{"what": f"events: {name}", "value": count} for name, count in self.events.items()]
        lines += [{"what": f"not evaluable: {name}", "value": why} for name, why in self.not_evaluable.items()]
        lines.append(
            {"what": "variations", "value": f"{self.variations}: {self.accepted} accepted, {sum(self.rejected.values())} rejected"}
        )
        lines += [{"what": f"rejected by {gate}", "value": count} for gate, count in self.rejected.items()]
        lines += [
            {"what": f"dataset {d['name']}@{d['version']}", "value": f"{d['rows']} rows, digest {d['digest']}"} for d in self.datasets
        ]
        if self.release:
            lines.append({"what": "release", "value": self.release})
        if self.vehicle:
            lines.append({"what": "vehicle", "value": self.vehicle})
        return lines


def next_steps(root: str, datasets: list[dict[str, Any]]) -> None:
    """The commands to try next."""
    ref = f"{datasets[-1]['name']}@{datasets[-1]['version']}" if datasets else "NAME@VERSION"
    steps = [
        ("make dev", "the Dagster UI on http://127.0.0.1:3000"),
        (f"flywheel review --root {root}", "FiftyOne on the review queue"),
        (f"flywheel coverage --root {root}", "how rare, and how sure"),
        (f"flywheel pull {ref} ./data --root {root}", "the dataset as files"),
        (f"flywheel verify {ref} --root {root}", "recompute every hash"),
    ]
    show.emit_rows([{"next": command, "gives": what} for command, what in steps], title="next", as_json=False)


def summarize(store: Store, *, state: Path) -> Summary:
    """The summary of a root."""
    from flywheel.publish.dataset import list_datasets

    drives = read_table(store, "DRIVES", columns=["drive_id", "duration_s"])
    events = Counter(read_table(store, "EVENTS", columns=["scenario"])["scenario"].to_pylist())
    exposure = read_table(store, "EXPOSURE", columns=["scenario", "status", "reason"]).to_pylist()
    variations = read_table(store, "VARIATIONS", columns=["variation_id", "status"]).to_pylist()
    held = current(read_table(store, "DECISIONS"))
    rejected = Counter(row["gate"] for row in held.values() if row["verdict"] != ACCEPT)
    return Summary(
        drives=drives.num_rows,
        recorded_s=sum(drives["duration_s"].to_pylist()),
        quarantined=sum(key.endswith(".reason.json") for key in store.list("quarantine/")),
        events=dict(sorted(events.items())),
        not_evaluable={row["scenario"]: row["reason"] for row in exposure if row["status"] == "not_evaluable"},
        variations=len(variations),
        accepted=sum(row["verdict"] == ACCEPT for row in held.values()),
        rejected=dict(sorted(rejected.items())),
        failed=sum(row["status"] != "done" for row in variations),
        datasets=[row.model_dump(mode="json") for row in list_datasets(store)],
        slices=[],
        release=None,
        vehicle=None,
    )
