"""CSV logs of ego signals with a declared mapping: beside the log, or a built-in one found by the header."""

import csv
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest import mapping as maps
from flywheel.ingest.csv_blocks import Block, blocks
from flywheel.ingest.drive import Beats, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.kinematics import derivative
from flywheel.ingest.signals import Stream, signals_table
from flywheel.ingest.whereabouts import day_of

Array = NDArray[np.float64]
HEAD_BYTES = 1 << 16
MAX_COLUMNS = 2000
DELIMITERS = (",", ";", "\t")
NOT_CSV = ("<", "{", "[", "(", "%", "//")
ACCELERATION_WINDOW_S = 0.5


def matches(log: Log) -> bool:
    """Whether the log is one file (and its sidecars) that begins as a table of separated values does."""
    path = maps.main_path(log)
    if path is None:
        return False
    head = log.head(path, size=HEAD_BYTES)
    return bool(head) and (_delimiter(_text(head)) is not None or _declared(log))


def _declared(log: Log) -> bool:
    """Whether a mapping lies beside it that is for a CSV, or is too damaged to tell (read says so then)."""
    try:
        return isinstance(maps.sidecar(log), maps.CsvMapping)
    except BadData:
        return True


def read(log: Log) -> Iterator[Item]:
    """The drive of a CSV; BadData names the row of what is wrong, or shows a mapping to edit if there is none for this header."""
    path = maps.main_path(log) or ""
    mapping, header = resolve(log, path)
    times, repeats = None, 0
    for block in with_acceleration(blocks(log, path, mapping, header), wanted="ax_mps2" not in mapping.columns):
        repeats += block.repeats
        if len(block.t_ns):
            times = block.t_ns if times is None else times
            yield Rows("SIGNALS", _table(block))
            yield Beats("csv", block.t_ns)
    if times is None:
        raise BadData(f"no rows{' that the mapping selects' if mapping.rows else ''} below the header {', '.join(header)[:200]}")
    yield facts(mapping, int(times[0]))
    yield from findings(mapping, header, repeats=repeats)


def resolve(log: Log, path: str) -> tuple[maps.CsvMapping, tuple[str, ...]]:
    """The mapping for this file and the names of its columns; BadData with a mapping to edit if there is none."""
    beside, head = maps.sidecar(log), log.head(path, size=HEAD_BYTES)
    if isinstance(beside, maps.CanMapping):
        raise BadData('the mapping beside it is of kind "can", but this is a table of separated values: kind = "csv" is needed')
    if beside is not None:
        return beside, beside.column_names or header_of(head, beside)
    text = _text(head)
    delimiter = _delimiter(text) or ","
    header = _cells(text.split("\n", 1)[0], delimiter)
    found = next((m for m in maps.built_in().values() if m.delimiter == delimiter and m.fits(header)), None)
    if found is None:
        shown = ", ".join(header)[:400]
        advice = f"Save this as mapping.toml beside it, edit it and land again:\n{maps.csv_snippet(header)}"
        raise BadData(f"no mapping for a CSV with the header: {shown}\n{advice}")
    return found.present(header), header


def header_of(head: bytes, mapping: maps.CsvMapping) -> tuple[str, ...]:
    """The names in the header line; BadData if there is no such line."""
    try:
        text = head.decode("utf-8-sig" if mapping.encoding == "utf-8" else mapping.encoding, "replace")
    except UnicodeError as err:
        raise BadData(f"the header is not {mapping.encoding}: {err}") from err
    lines = text.split("\n")
    if len(lines) <= mapping.skip_lines or not lines[mapping.skip_lines].strip():
        raise BadData(f"no header in line {mapping.skip_lines + 1}")
    return _cells(lines[mapping.skip_lines], mapping.delimiter)


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    try:
        cells = next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])
    except csv.Error as err:
        raise BadData(f"the header is damaged: {err}") from err
    if len(cells) > MAX_COLUMNS:
        raise BadData(f"{len(cells)} columns; at most {MAX_COLUMNS} are read")
    return tuple(cell.strip() for cell in cells)


def _text(head: bytes) -> str:
    return head.decode("utf-8-sig", "replace") if b"\0" not in head else ""


def _delimiter(text: str) -> str | None:
    """What separates the cells of the first line, if the second has as many of it; None if this is no such table."""
    first, _, rest = text.lstrip("\ufeff").partition("\n")
    second = rest.partition("\n")[0]
    if not first.strip() or first.lstrip().startswith(NOT_CSV):
        return None
    counts = {mark: first.count(mark) for mark in DELIMITERS}
    mark = max(DELIMITERS, key=lambda m: counts[m])
    return mark if counts[mark] and (not second.strip() or second.count(mark) == counts[mark]) else None


def with_acceleration(source: Iterator[Block], *, wanted: bool) -> Iterator[Block]:
    """The blocks with ax_mps2: the derivative of the speed (parabola over +-0.5 s), the same wherever the blocks are cut."""
    window_ns = int(ACCELERATION_WINDOW_S * 1e9)
    held: Block | None = None
    done = -1
    for block in source:
        if not wanted or "speed_mps" not in block.columns:
            yield block
            continue
        held = block if held is None else _joined(held, block)
        if len(held.t_ns):
            until = int(held.t_ns[-1]) - window_ns
            yield _accelerated(held, after=done, until=until, repeats=block.repeats)
            done = max(done, until)
            held = _later(held, than=done - window_ns)
    if held is not None and len(held.t_ns):
        yield _accelerated(held, after=done, until=int(held.t_ns[-1]), repeats=0)


def _joined(a: Block, b: Block) -> Block:
    return Block(np.r_[a.t_ns, b.t_ns], {name: np.r_[a.columns[name], b.columns[name]] for name in a.columns})


def _later(block: Block, *, than: int) -> Block:
    kept = block.t_ns >= than - 1000
    return Block(block.t_ns[kept], {name: values[kept] for name, values in block.columns.items()})


def _accelerated(block: Block, *, after: int, until: int, repeats: int) -> Block:
    speed, ax = block.columns["speed_mps"], np.full(len(block.t_ns), np.nan)
    known = np.isfinite(speed)
    if known.any():
        t_s = (block.t_ns[known] - block.t_ns[0]) / 1e9
        ax[known] = derivative(t_s, speed[known], half_window_s=ACCELERATION_WINDOW_S)
    now = (block.t_ns > after) & (block.t_ns <= until)
    return Block(block.t_ns[now], {name: values[now] for name, values in (block.columns | {"ax_mps2": ax}).items()}, repeats)


def _table(block: Block) -> pa.Table:
    return signals_table([Stream(block.t_ns, block.columns)])


def facts(mapping: maps.CsvMapping, t0_ns: int) -> DriveFacts:
    """What the mapping says about the drive."""
    day = day_of(t0_ns)
    relative = mapping.time.epoch == "relative"
    derived = ("ax_mps2",) if "speed_mps" in mapping.columns and "ax_mps2" not in mapping.columns else ()
    return DriveFacts(
        vehicle_id=mapping.vehicle_id, place=mapping.place, day=day, clock="relative" if relative else mapping.clock or "utc",
        clock_error_ns=None if relative else mapping.clock_error_ns, licence=mapping.licence, derived=derived,
    )  # fmt: skip


def findings(mapping: maps.CsvMapping, header: tuple[str, ...], *, repeats: int) -> Iterator[Finding]:
    """Warnings: columns that no one mapped, rows at a time that was there already, no wall clock, an unknown vehicle."""
    used = {mapping.time.column, *(c.source for c in mapping.columns.values()), *(r.column for r in mapping.rows), *mapping.ignored}
    left = [name for name in header if name not in used]
    if left:
        yield warning("columns", f"columns that the mapping does not name were left in landing: {', '.join(left)[:400]}")
    if repeats:
        yield warning("repeats", f"{repeats} rows repeat the time of the row before them and were left out")
    if mapping.time.epoch == "relative":
        yield warning("clock", "the log has no wall clock: t_ns counts from 2000-01-01T00:00:00Z")
    if "unknown" in (mapping.vehicle_id, mapping.place):
        advice = "all such drives of a day stay in one split; say both in a mapping.toml beside the log"
        yield warning("origin", f"vehicle or place unknown: {advice}")
