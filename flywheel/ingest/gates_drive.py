"""All gates that read a drive's written parts again, and the fingerprint that comes from the same pass."""

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from flywheel.ingest import gates_frames, gates_tracks, gates_twins
from flywheel.ingest.drive import Finding
from flywheel.ingest.gates_motion import motion_gate
from flywheel.ingest.gates_parts import Defect, RowsBetween, Window, folded, series, windows
from flywheel.ingest.gates_sync import Agreement, agreements, combined, independent, sync_findings
from flywheel.tables import SCHEMAS

AROUND_NS = 10**9


class Judged(NamedTuple):
    """What the parts say of a drive."""

    findings: list[Finding]
    agreements: list[Agreement]
    fingerprint: list[str]


def judge_parts(files: Mapping[str, Path], *, derived: Collection[str] = ()) -> Judged:
    """Every gate over the parts SIGNALS, TRACKS and FRAMES, as far as they are there; `derived` columns were not recorded."""
    with ThreadPoolExecutor(2) as pool:  # most of the work is Arrow's and numpy's, which let other threads run
        of_tracks = pool.submit(_judge_tracks, files)
        of_frames = pool.submit(_judge_frames, files)
        defects, agreed, driven = _judge_signals(files, derived)
        defects += of_tracks.result()
        frozen, seen = of_frames.result()
    findings = [*folded([*defects, *frozen]), *sync_findings(agreed)]
    return Judged(findings, independent(agreed, derived), gates_twins.fingerprint(driven, seen))


def _judge_signals(files: Mapping[str, Path], derived: Collection[str]) -> tuple[list[Defect], list[Agreement], list[str]]:
    defects: list[Defect] = []
    together: list[Agreement] = []
    driven: list[str] = []
    for window in _windows(files.get("SIGNALS"), [name for name in SCHEMAS["SIGNALS"].names if name != "drive_id"]):
        defects += motion_gate(window, derived=derived)
        together += agreements(window.table)
        driven = gates_twins.smallest([*driven, *gates_twins.pieces(window.table)])
    return defects, combined(together), driven


def _judge_tracks(files: Mapping[str, Path]) -> list[Defect]:
    columns = ["t_ns", "x_m", "y_m", "heading_rad"]
    ego = _between(files.get("SIGNALS"), columns)
    seen = _windows(files.get("TRACKS"), gates_tracks.COLUMNS)
    return [defect for window in seen for defect in gates_tracks.tracks_gate(window, _ego(ego, window))]


def _judge_frames(files: Mapping[str, Path]) -> tuple[list[Defect], list[str]]:
    defects: list[Defect] = []
    seen: list[str] = []
    ego = _between(files.get("SIGNALS"), ["t_ns", "speed_mps"])
    for window in _windows(files.get("FRAMES"), gates_frames.COLUMNS):
        defects += gates_frames.frozen_gate(window, _speeds(_ego(ego, window)))
        seen = gates_twins.smallest([*seen, *gates_twins.picture_digests(window.table)])
    return defects, seen


def _windows(file: Path | None, columns: list[str]) -> Iterator[Window]:
    return windows(file, columns) if file else iter(())


def _between(signals: Path | None, columns: list[str]) -> RowsBetween | None:
    return RowsBetween(signals, columns) if signals else None


def _ego(between: RowsBetween | None, window: Window) -> pa.Table | None:
    """The ego signals around a window of another table."""
    times = window.table["t_ns"]
    return between(times[0].as_py() - AROUND_NS, times[-1].as_py() + AROUND_NS) if between else None


def _speeds(ego: pa.Table | None) -> gates_frames.SpeedAt:
    """The mean absolute speed from one time to another; None where no sample lies between (or near)."""
    speed = series(ego, "speed_mps") if ego is not None else None

    def between(low_ns: int, high_ns: int) -> float | None:
        if speed is None:
            return None
        low, high = np.searchsorted(speed.t_ns, [low_ns - AROUND_NS // 2, high_ns + AROUND_NS // 2])
        return float(np.abs(speed.values[low:high]).mean()) if high > low else None

    return between
