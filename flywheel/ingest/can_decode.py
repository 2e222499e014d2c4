"""A CAN database (DBC) and a mapping: which frames hold what, decoded by cantools."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flywheel.errors import BadData, require
from flywheel.ingest.can_frames import Frame
from flywheel.ingest.drive import Log
from flywheel.ingest.mapping import CanMapping, can_snippet

MAX_DBC_BYTES = 1 << 24
MAX_VALUE = 1e12
DAMAGE = (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError, RecursionError, AssertionError)


@dataclass
class Decoder:
    """Turns frames into SIGNALS values, message by message. `failed` counts frames of a known message that did not fit it."""

    columns: dict[str, tuple[str, ...]]
    _wanted: dict[tuple[int, bool], tuple[Any, list[tuple[str, float, float]]]]
    _damage: tuple[type[Exception], ...] = DAMAGE
    bus: str | None = None
    failed: Counter[str] = field(default_factory=Counter)

    def decode(self, frame: Frame) -> tuple[str, tuple[float, ...]] | None:
        """(message, a value for each of its columns, NaN if absent); None if the frame holds nothing that is mapped."""
        found = self._wanted.get((frame.address, frame.extended))
        if found is None or (self.bus is not None and frame.bus != self.bus):
            return None
        message, signals = found
        try:
            said = message.decode(frame.data, decode_choices=False, decode_containers=False)
            values = tuple(a * float(said[name]) + b if name in said else np.nan for name, a, b in signals)
        except self._damage:
            self.failed[message.name] += 1
            return None
        if any(abs(value) > MAX_VALUE for value in values):
            self.failed[message.name] += 1
            return None
        return message.name, values


def load_decoder(log: Log, mapping: CanMapping | None) -> Decoder:
    """The decoder of the databases and the mapping beside a log; BadData says which of them is missing or wrong."""
    paths = sorted(path for path in log.paths if path.lower().endswith(".dbc"))
    if not paths:
        raise BadData("raw CAN frames need their database: put a .dbc file and a mapping.toml beside the log and land again")
    database = load_databases(log, paths)
    if mapping is None:
        pairs = [(message.name, signal.name) for message in database.messages for signal in message.signals]
        advice = f"Save this as mapping.toml beside it, edit it and land again:\n{can_snippet(pairs)}"
        raise BadData(f"no mapping of the database's signals\n{advice}")
    return _decoder(database, mapping)


def load_databases(log: Log, paths: list[str]) -> Any:
    """The databases as one; BadData names the file that cantools cannot read."""
    cantools, textparser = require("cantools", extra="ingest"), require("textparser", extra="ingest")
    database = cantools.database.Database(strict=False)
    for path in paths:
        data = log.read(path, limit=MAX_DBC_BYTES)
        try:
            database.add_dbc_string(data.decode("utf-8") if _is_utf8(data) else data.decode("cp1252", "replace"))
        except (cantools.Error, textparser.Error, *DAMAGE) as err:
            raise BadData(f"{path}: not a CAN database: {type(err).__name__}: {str(err)[:300]}") from err
    return database


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoder(database: Any, mapping: CanMapping) -> Decoder:
    columns: dict[str, tuple[str, ...]] = {}
    wanted: dict[tuple[int, bool], tuple[Any, list[tuple[str, float, float]]]] = {}
    for target, value in sorted(mapping.signals.items()):
        message = next((m for m in database.messages if m.name == value.message), None)
        if message is None or value.signal not in {signal.name for signal in message.signals}:
            raise BadData(f"mapping.toml: {target}: the database has no signal {value.signal!r} in a message {value.message!r}")
        key = (message.frame_id, bool(message.is_extended_frame))
        wanted.setdefault(key, (message, []))[1].append((value.signal, *value.factors(target)))
        columns[message.name] = (*columns.get(message.name, ()), target)
    damage = (*DAMAGE, require("cantools", extra="ingest").Error, require("bitstruct", extra="ingest").Error)
    return Decoder(columns=columns, _wanted=wanted, _damage=damage, bus=mapping.bus)
