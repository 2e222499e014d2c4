"""One drive on its way into the store: items are counted, judged and written to local parts before anything reaches the store."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from flywheel.errors import BadData
from flywheel.ingest.clocks import Clocks
from flywheel.ingest.drive import Beats, DriveFacts, Finding, Item, Picture, Rows
from flywheel.ingest.pictures import Pictures
from flywheel.ingest.quality import gate, ordered, refuse_errors
from flywheel.ingest.tally import Tally
from flywheel.tables import PartWriter, conform, rows_table


class Spool:
    """Takes a drive's items; `finish` gives back what the gates found, with every part written to a file of `folder`."""

    def __init__(self, folder: Path, *, drive_id: str) -> None:
        self.folder, self.drive_id = folder, drive_id
        self.tally, self.clocks, self.pictures = Tally(), Clocks(), Pictures()
        self.files: dict[str, Path] = {}
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
                case Finding():
                    self._findings.append(item)
                case DriveFacts():
                    self._facts.append(item)

    def finish(self) -> tuple[Finding, ...]:
        """Every finding; BadData if one of them is an error. The parts are complete afterwards."""
        findings = ordered([*self._findings, *self.pictures.findings(), *gate(self.tally, self.facts)])
        refuse_errors(findings)
        self._write_rows("SENSORS", self.clocks.rows())
        self._write_rows("FINDINGS", [finding.model_dump() for finding in findings])
        self.close()
        return findings

    def close(self) -> None:
        """Ends the parts written so far."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _write(self, name: str, rows: pa.Table) -> None:
        if len(rows):
            table = conform(name, rows.add_column(0, "drive_id", pa.array([self.drive_id] * len(rows), pa.string())))
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
