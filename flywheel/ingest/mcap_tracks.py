"""TRACKS of the fleet's own /tracks topic: boxes in the ego frame, their class and velocity in the entity's metadata."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, Finding, Item, Rows
from flywheel.ingest.mcap_json import check_sane
from flywheel.ingest.mcap_proto import payloads_of
from flywheel.ingest.mcap_read import Batch
from flywheel.ingest.mcap_scene import Entities, entities, heading
from flywheel.ingest.mcap_streams import Held, Waiting

TRACKS = "/tracks"
CLASSES = ("bus", "car", "cyclist", "other", "pedestrian", "truck")


class FleetTracks:
    """The sink of the fleet's tracks; BadData names the track and time of what is not as the fleet writes it."""

    def __init__(self, topic: str = TRACKS) -> None:
        self.topic, self.waiting, self.held = topic, Waiting(topic), Held()

    def take(self, batch: Batch) -> Iterable[Item]:
        """Takes messages."""
        self.waiting.take(batch)
        return ()

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """Rows before a time."""
        times, batches = self.waiting.drain()
        if len(times):
            yield Beats(self.topic, times)
            found = entities(self.topic, times, [data for batch in batches for data in payloads_of(batch, "SceneUpdate")])
            self.held.tables.append(fleet_rows(found))
        rows = self.held.before(until_ns)
        if rows is not None:
            yield Rows("TRACKS", rows)

    def findings(self) -> Iterable[Finding]:
        """None."""
        return ()


def fleet_rows(found: Entities) -> pa.Table:
    """TRACKS without drive_id, one row an entity."""
    _check_shape(found)
    said = found.pairs()
    cls = said.text("cls")
    _check(found, pc.is_in(cls, pa.array(CLASSES)), lambda at: f"cls {cls[at].as_py() or ''!r} is none of {list(CLASSES)}")
    motion = {name: said.numbers(name) for name in ("vx_mps", "vy_mps")}
    for name, values in motion.items():
        _check(found, values.is_valid(), lambda at, name=name: f"metadata {name} is missing")  # type: ignore[misc]
    numbers = {**found.box, "heading_rad": heading(found.quaternion), **motion, "position_sigma_m": said.numbers("position_sigma_m")}
    table = pa.table({
        "t_ns": found.times, "track_id": found.ids, "cls": cls, **numbers, "visible": said.flags("visible"),
        "subclass": said.text("subclass"), "flashing": said.flags("flashing"),
    })  # fmt: skip
    for name in numbers:
        values = table[name].drop_null().to_numpy()
        times = found.times[table[name].is_valid().to_numpy()] if len(values) < len(table) else found.times
        check_sane(found.topic, name, times=times, values=values)
    check_ids(found)
    return table


def check_ids(found: Entities) -> None:
    """BadData if one instant holds the same id twice."""
    codes = found.ids.dictionary_encode()
    instants = np.cumsum(np.r_[0, np.diff(found.times) != 0])[: len(found.times)]
    keys = np.sort(instants * max(len(codes.dictionary), 1) + codes.indices.to_numpy())
    again = keys[1:][np.diff(keys) == 0]
    if len(again):
        at, code = divmod(int(again[0]), len(codes.dictionary))
        key = (int(found.times[np.searchsorted(instants, at)]), codes.dictionary[code].as_py())
        raise BadData(f"{found.topic}: {key} appears twice (and {len(again) - 1} others)")


def _check_shape(found: Entities) -> None:
    whole = np.asarray(pc.equal(found.frames, "ego")) & (found.cubes == 1) & np.asarray(pc.not_equal(found.ids, ""))
    _check(
        found, pa.array(whole),
        lambda at: f"expected an id and one cube in frame 'ego', found {found.cubes[at]} in {found.frames[at].as_py()!r}",
    )  # fmt: skip


def _check(found: Entities, right: pa.Array, text: Callable[[int], str]) -> None:
    wrong = np.flatnonzero(~right.to_numpy(zero_copy_only=False))
    if len(wrong):
        raise BadData(f"{found.named(int(wrong[0]))}: {text(int(wrong[0]))}")
