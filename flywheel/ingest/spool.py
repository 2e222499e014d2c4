"""One drive on its way into the store: items are counted, judged and written to local parts before anything reaches the store."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from flywheel.errors import BadData
from flywheel.ingest.clocks import Clock, Clocks, clock_of, overlap_gate
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Finding, Item, Picture, Rows
from flywheel.ingest.gates_drive import judge_parts
from flywheel.ingest.gates_parts import speeds_at
from flywheel.ingest.gates_twins import Twins
from flywheel.ingest.pictures import Pictures
from flywheel.ingest.quality import gate, ordered, refuse_errors
from flywheel.ingest.tally import Tally
from flywheel.tables import PartWriter, conform, rows_table

MAX_MEDIA_BYTES = 1 << 30


class Spool:
    """Takes a drive's items; `finish` gives back what the gates found, with every part written to a file of `folder`."""

    def __init__(self, folder: Path, *, drive_id: str) -> None:
        self.folder, self.drive_id = folder, drive_id
        self.tally, self.clocks, self.pictures = Tally(), Clocks(), Pictures()
        self.clock, self.fingerprint = Clock(None, None), list[str]()
        self.files: dict[str, Path] = {}
        self.media: dict[tuple[str, str], Path] = {}
        self._media_bytes = 0
        self._writers: dict[str, PartWriter] = {}
        self._facts: list[DriveFacts] = []
        self._findings: list[Finding] = []

    @property
    def facts(self) -> DriveFacts:
        """What the log said about itself; BadData unless it said so exactly once."""
        if len(self._facts) != 1:
            raise BadData(f"the reader gave {len(self._facts)} DriveFacts; exactly one is needed")
        return self._facts[0]

    def fill(self, items: Iterable[Item]) -> None:
        """Takes every item of a drive."""
        for item in items:
            match item:
                case Rows():
                    self._write(item.table, item.rows)
                case Picture():
                    self.pictures.see(item)
                case Beats():
                    self.clocks.see(item)
                case Blob():
                    self._keep(item)
                case Finding():
                    self._findings.append(item)
                case DriveFacts():
                    self._facts.append(item)

    def finish(self, twins: Twins | None = None) -> tuple[Finding, ...]:
        """Every finding; BadData if one of them is an error. The parts are complete afterwards. `twins` knows the drives there are."""
        self.close()
        spans, facts = self.tally.spans, self.facts
        sensors = self.clocks.rows((self.tally.t0_ns, self.tally.t1_ns) if spans else None)
        judged = judge_parts(self.files, derived=facts.derived)
        self.clock, self.fingerprint = clock_of(sensors, judged.agreements), judged.fingerprint
        findings = ordered([
            *self._findings, *gate(self.tally, facts), *overlap_gate(spans), *judged.findings,
            *self.clocks.findings(sensors, ego=spans.get("SIGNALS")), *self.pictures.findings(self._speeds()),
            *(twins or Twins()).findings(self.drive_id, judged.fingerprint),
        ])  # fmt: skip
        refuse_errors(findings)
        self._write_rows("SENSORS", sensors)
        self._write_rows("FINDINGS", [finding.model_dump() for finding in findings])
        self.close()
        return findings

    def _speeds(self) -> Mapping[int, float]:
        return speeds_at(self.files.get("SIGNALS"), self.pictures.moments())

    def close(self) -> None:
        """Ends the parts written so far."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _keep(self, blob: Blob) -> None:
        """Keeps media by (hash, ext) until the gates have passed; what is above the bound is read again from the log."""
        key = (blob.sha256, blob.ext)
        if isinstance(blob.data, bytes) and key not in self.media and self._media_bytes + len(blob.data) <= MAX_MEDIA_BYTES:
            self.media[key] = self.folder / ".".join(key)
            self.media[key].write_bytes(blob.data)
            self._media_bytes += len(blob.data)

    def _write(self, name: str, rows: pa.Table) -> None:
        if len(rows):
            table = conform(name, rows.add_column(0, "drive_id", pa.repeat(self.drive_id, len(rows))))
            self.tally.see(name, table)
            self._part(name).add(table)

    def _write_rows(self, name: str, rows: list[dict[str, object]]) -> None:
        if rows:
            self._part(name).add(rows_table(name, [{"drive_id": self.drive_id} | row for row in rows]))

    def _part(self, name: str) -> PartWriter:
        if name not in self._writers:
            self.files[name] = self.folder / f"{name}.parquet"
            self._writers[name] = PartWriter(name, self.files[name])
        return self._writers[name]
