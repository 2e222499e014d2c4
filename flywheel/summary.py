"""What lies in a root, as one table a newcomer can read: read back from the store, never remembered from the run."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from flywheel import show
from flywheel.models import EVALUATION, Evaluation, read_evaluation
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
    frames: int
    tracks: int
    signal_rows: int
    events: dict[str, int]
    not_evaluable: dict[str, dict[str, int]]
    variations: int
    accepted: int
    rejected: dict[str, int]
    failed: int
    datasets: list[dict[str, Any]]
    evaluation: str | None
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
        lines.append({"what": "rows", "value": f"{self.signal_rows} of signals, {self.tracks} tracks, {self.frames} frames"})
        lines += [{"what": f"events: {name}", "value": count} for name, count in self.events.items()] or [{"what": "events", "value": 0}]
        for name, reasons in self.not_evaluable.items():
            lines.append({"what": f"not evaluable: {name}", "value": "; ".join(f"{n} drives: {why}" for why, n in reasons.items())})
        lines.append(
            {"what": "variations", "value": f"{self.variations}: {self.accepted} accepted, {sum(self.rejected.values())} rejected"}
        )
        lines += [{"what": f"rejected by {gate}", "value": count} for gate, count in self.rejected.items()]
        lines += [
            {"what": f"dataset {d['name']}@{d['version']}", "value": f"{d['rows']} rows, digest {d['digest']}"} for d in self.datasets
        ]
        lines.append({"what": "evaluation", "value": self.evaluation or "none yet"})
        if self.release:
            lines.append({"what": "signed release", "value": "{release_version}: {model_id}, {state}".format(**self.release)})
        else:
            lines.append({"what": "signed release", "value": "none: a model that no real test frame has judged is not released"})
        if self.vehicle:
            said = "{vehicle_id} runs release {release_version}: {model_id} in slot {slot}, verified".format(**self.vehicle)
            lines.append({"what": "vehicle", "value": f"{said} sha256 {self.vehicle['files'].get('model.safetensors', '')}"})
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
    from flywheel.release.vehicle import installed

    drives = read_table(store, "DRIVES").to_pylist()
    events = Counter(read_table(store, "EVENTS", columns=["scenario"])["scenario"].to_pylist())
    variations = read_table(store, "VARIATIONS", columns=["variation_id", "status"]).to_pylist()
    held = current(read_table(store, "DECISIONS"))
    rejected = Counter(row["gate"] for row in held.values() if row["verdict"] != ACCEPT)
    vehicles = sorted((state / "vehicles").glob("*")) if (state / "vehicles").is_dir() else []
    newest = newest_evaluation(store)
    updates = [report for folder in vehicles if (report := installed(folder, vehicle_id=folder.name))]
    return Summary(
        drives=len(drives),
        recorded_s=sum(row["duration_s"] for row in drives),
        quarantined=sum(key.endswith(".reason.json") for key in store.list("quarantine/")),
        frames=sum(row["frames"] for row in drives),
        tracks=sum(row["tracks"] for row in drives),
        signal_rows=sum(row["signal_rows"] for row in drives),
        events=dict(sorted(events.items())),
        not_evaluable=not_evaluable(store),
        variations=len(variations),
        accepted=sum(row["verdict"] == ACCEPT for row in held.values()),
        rejected=dict(sorted(rejected.items())),
        failed=sum(row["status"] != "done" for row in variations),
        datasets=[row.model_dump(mode="json") for row in list_datasets(store)],
        evaluation=f"{newest.dataset}: {newest.status} {newest.reason}".strip() if newest else None,
        slices=slices_of(newest) if newest else [],
        release=newest_release(store),
        vehicle=updates[0].model_dump(mode="json") if updates else None,
    )


def not_evaluable(store: Store) -> dict[str, dict[str, int]]:
    """By scenario: for each reason why it could not be judged, in how many drives."""
    rows = read_table(store, "EXPOSURE", columns=["drive_id", "scenario", "status", "reason"]).to_pylist()
    blind = {(row["scenario"], row["reason"], row["drive_id"]) for row in rows if row["status"] == "not_evaluable"}
    found: dict[str, dict[str, int]] = {}
    for (scenario, reason), drives in sorted(Counter((scenario, reason) for scenario, reason, _ in blind).items()):
        found.setdefault(scenario, {})[reason] = drives
    return found


def newest_evaluation(store: Store) -> Evaluation | None:
    """The evaluation of the newest dataset version's model; None before the first."""
    from flywheel.publish.dataset import list_datasets

    refs = [version.ref for version in list_datasets(store)]
    keys = [key for key in store.list("models/") if key.endswith(f"/{EVALUATION}")]
    found = [read_evaluation(store, key.split("/")[1]) for key in keys]
    return max((e for e in found if e.dataset in refs), key=lambda e: refs.index(e.dataset), default=None)


def slices_of(evaluation: Evaluation) -> list[Row]:
    """Slice metrics, real and synthetic apart, as rows; what had no object to find is left out."""
    columns = {"scenario", "condition", "synthetic", "cls", "frames", "objects", "recall", "recall_low", "recall_high", "average_precision"}
    pieces = [piece for piece in (*evaluation.overall, *evaluation.slices) if piece.objects]
    return [piece.model_dump(mode="json", include=columns) for piece in pieces]


def newest_release(store: Store) -> Row | None:
    """The release now signed for the default group, with how far it is rolled out; None before the first."""
    if not store.exists("ota/rollout.json"):
        return None
    rollout: Row = json.loads(store.get("ota/rollout.json"))
    return rollout
