"""What became of every recording of a batch, read back from the store: the rows that `flywheel ingest` prints."""

import re
from collections import defaultdict

from flywheel.ingest.drive import Finding
from flywheel.ingest.quality import FAMILIES
from flywheel.ingest.quarantine import read_reason
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record

GATE = f"(?:{'|'.join(gate for gates in FAMILIES.values() for gate in gates)}): "
COUNTS = ("signal_rows", "tracks", "track_rows", "frames", "lane_rows", "light_rows")
SHORT_ID = len("drive-") + 6


class SensorCount(Record):
    """How often one sensor or topic spoke, and its rate."""

    sensor: str
    samples: int
    rate_hz: float | None = None


class Recording(Record):
    """One drive of a batch; or a log in quarantine, with its reason and no drive_id."""

    name: str
    drive_id: str | None = None
    format: str | None = None
    seconds: float = 0.0
    signal_rows: int = 0
    tracks: int = 0
    track_rows: int = 0
    frames: int = 0
    lane_rows: int = 0
    light_rows: int = 0
    sensors: tuple[SensorCount, ...] = ()
    findings: tuple[Finding, ...] = ()
    quarantined: str | None = None

    @property
    def refusals(self) -> list[Finding]:
        """The errors that put the log into quarantine, gate by gate; what a reader refused itself counts as the gate `reader`."""
        text = self.quarantined or ""
        told = [piece.partition(": ") for piece in re.split(f"; (?={GATE})", text)] if re.match(GATE, text) else [("reader", "", text)]
        return [Finding(severity="error", gate=gate, message=message) for gate, _, message in told if message]

    @property
    def messages(self) -> int:
        """The samples of all its sensors."""
        return sum(sensor.samples for sensor in self.sensors)

    @property
    def full(self) -> dict[str, object]:
        """Everything, for machines."""
        return self.model_dump(mode="json") | {"messages": self.messages}

    @property
    def short(self) -> dict[str, str | int | float]:
        """The row that people are shown (a drive's id may be cut: `flywheel drive show` takes a prefix)."""
        return {
            "recording": self.name, "drive": (self.drive_id or "")[:SHORT_ID], "format": self.format or "quarantined", "s": self.seconds,
            "signals": self.signal_rows, "tracks": self.tracks, "boxes": self.track_rows, "frames": self.frames, "lanes": self.lane_rows,
            "lights": self.light_rows, "messages": self.messages, "findings": len(self.findings),
        }  # fmt: skip

    @property
    def notes(self) -> list[dict[str, str]]:
        """Every finding, or why the log is in quarantine."""
        if self.quarantined is not None:
            return [{"name": self.name, "gate": "quarantine", "message": self.quarantined}]
        return [{"name": self.name, "gate": finding.gate, "message": finding.message} for finding in self.findings]


def recordings(store: Store, batch_id: str) -> list[Recording]:
    """Every drive of a batch, then every log of it in quarantine, each sorted by name."""
    findings: dict[str, list[Finding]] = defaultdict(list)
    for row in read_table(store, "FINDINGS", batch_id=batch_id).to_pylist():
        findings[row.pop("drive_id")].append(Finding.model_validate(row))
    sensors: dict[str, list[SensorCount]] = defaultdict(list)
    for row in read_table(store, "SENSORS", batch_id=batch_id, columns=["drive_id", "sensor", "samples", "rate_hz"]).to_pylist():
        sensors[row.pop("drive_id")].append(SensorCount.model_validate(row))
    drives = [
        Recording(
            name=row["source_name"], drive_id=row["drive_id"], format=row["source_format"], seconds=round(row["duration_s"], 3),
            sensors=tuple(sensors[row["drive_id"]]), findings=tuple(findings[row["drive_id"]]), **{count: row[count] for count in COUNTS},
        )
        for row in read_table(store, "DRIVES", batch_id=batch_id).to_pylist()
    ]  # fmt: skip
    return sorted(drives, key=lambda drive: drive.name) + quarantined(store, batch_id)


def quarantined(store: Store, batch_id: str) -> list[Recording]:
    """The logs of a batch that are in quarantine."""
    home, ending = f"quarantine/{batch_id}/", ".reason.json"
    names = [key.removeprefix(home).removesuffix(ending) for key in store.list(home) if key.endswith(ending)]
    return [Recording(name=name, quarantined=read_reason(store, batch_id=batch_id, name=name).reason) for name in names]
