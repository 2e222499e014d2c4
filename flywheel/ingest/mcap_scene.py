"""foxglove.SceneUpdate messages to flat columns, many messages at a time: one row an entity, its metadata by key."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.ego_path import yaw_of
from flywheel.ingest.mcap_proto import columns, proto

Array = NDArray[np.float64]
Times = NDArray[np.int64]
# Columns of TRACKS -> where they lie in a cube.
CUBE = {
    "x_m": ("pose", "position", "x"), "y_m": ("pose", "position", "y"), "z_m": ("pose", "position", "z"),
    "length_m": ("size", "x"), "width_m": ("size", "y"), "height_m": ("size", "z"),
}  # fmt: skip
TURN = tuple(("pose", "orientation", axis) for axis in "xyzw")


@dataclass(frozen=True)
class Entities:
    """M entities of one topic in the order recorded: times (M,), ids, frames, how many cubes each has, and the first cube's pose and size.

    quaternion: (M, 4) x y z w.
    """

    topic: str
    times: Times
    ids: pa.Array
    frames: pa.Array
    cubes: NDArray[np.int64]
    box: dict[str, Array]
    quaternion: Array
    metadata: pa.ListArray

    def named(self, at: int) -> str:
        """An entity as errors name it."""
        return f"{self.topic} at {self.times[at]} ns: track {self.ids[at].as_py()!r}"

    def keep(self, mask: NDArray[np.bool_]) -> "Entities":
        """Some of the entities."""
        chosen = pa.array(mask)
        return Entities(
            topic=self.topic, times=self.times[mask], ids=self.ids.filter(chosen), frames=self.frames.filter(chosen),
            cubes=self.cubes[mask], box={name: values[mask] for name, values in self.box.items()}, quaternion=self.quaternion[mask],
            metadata=self.metadata.filter(chosen),
        )  # fmt: skip

    def pairs(self) -> "Pairs":
        """The metadata of all entities."""
        flat, owner = self.metadata.flatten(), pc.list_parent_indices(self.metadata).to_numpy()
        return Pairs(self, flat if _plainly_written(flat) else _rewritten(self, flat, owner), owner)


@dataclass(frozen=True)
class Pairs:
    """Metadata key by key. flat: foxglove.KeyValuePair messages, each a key and a value of less than 128 bytes; owner: whose they are."""

    entities: Entities
    flat: pa.Array
    owner: NDArray[np.int64]

    def text(self, key: str) -> pa.Array:
        """(M,) values of a key; null for an entity without it, the last one for an entity that has it twice."""
        head = b"\n" + bytes([len(key)]) + key.encode() + b"\x12"
        try:
            return pc.binary_replace_slice(self._beginning(head), 0, len(head) + 1, b"").cast(pa.string())
        except pa.ArrowInvalid as err:
            raise BadData(f"{self.entities.topic}: metadata {key} of an entity is not UTF-8: {err}") from err

    @cached_property
    def _each(self) -> int:
        """How many pairs every entity has; 0 if they do not all have as many."""
        each = len(self.flat) // max(len(self.entities.times), 1)
        return each if each and np.array_equal(self.owner, np.repeat(np.arange(len(self.entities.times)), each)) else 0

    def _beginning(self, head: bytes) -> pa.Array:
        """(M,) each entity's pair with this beginning, null for none."""
        for first in range(self._each):  # mostly all entities say the same things in the same order
            if self.flat[first].as_py().startswith(head):
                there = self.flat.take(pa.array(np.arange(first, len(self.flat), self._each)))
                if pc.all(pc.starts_with(there, head.decode())).as_py():
                    return there
        at = np.full(len(self.entities.times), -1, np.int64)
        mine = np.flatnonzero(pc.starts_with(self.flat, head.decode()).to_numpy(zero_copy_only=False))
        at[self.owner[mine]] = mine
        return self.flat.take(pa.array(at, mask=at < 0))

    def numbers(self, key: str) -> pa.Array:
        """(M,) values of a key as floats, null where an entity lacks it; BadData for text that is no number."""
        text = self.text(key)
        try:
            return text.cast(pa.float64())
        except pa.ArrowInvalid:
            return self._word_by_word(key, text, float, pa.float64())

    def flags(self, key: str) -> pa.Array:
        """(M,) values of a key as booleans, null where an entity lacks it; BadData for text other than true and false."""
        return self._word_by_word(key, self.text(key).dictionary_encode(), {"true": True, "false": False}.__getitem__, pa.bool_())

    def _word_by_word(self, key: str, text: pa.Array, read: Callable[[str], Any], kind: pa.DataType) -> pa.Array:
        words = text.dictionary if isinstance(text, pa.DictionaryArray) else text
        found = []
        for word in words.to_pylist():
            try:
                found.append(None if word is None else read(word))
            except (KeyError, ValueError) as err:
                at = int(np.argmax(pc.equal(self.text(key), word).fill_null(False).to_numpy(zero_copy_only=False)))
                raise BadData(f"{self.entities.named(at)}: metadata {key} is malformed: {word[:80]!r}") from err
        plain = pa.array(found, kind)
        return plain.take(text.indices) if isinstance(text, pa.DictionaryArray) else plain


def entities(topic: str, times: Times, payloads: list[bytes]) -> Entities:
    """All entities of N SceneUpdate payloads at times (N,)."""
    updates = columns(topic, times, "SceneUpdate", payloads)["entities"]
    flat, owner = updates.flatten(), pc.list_parent_indices(updates).to_numpy()
    cubes = pc.struct_field(flat, "cubes")
    counts = pc.list_value_length(cubes).to_numpy(zero_copy_only=False).astype(np.int64)
    first = cubes.flatten().take(pa.array(np.r_[0, np.cumsum(counts)[:-1]][: len(counts)], mask=counts == 0))
    return Entities(
        topic=topic, times=times[owner], ids=pc.struct_field(flat, "id"), frames=pc.struct_field(flat, "frame_id"), cubes=counts,
        box={name: _number(first, path) for name, path in CUBE.items()},
        quaternion=np.stack([_number(first, path) for path in TURN], axis=1), metadata=pc.struct_field(flat, "metadata"),
    )  # fmt: skip


def _bytes_of(flat: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each value begins (and the last one ends), and all bytes."""
    begin = np.frombuffer(flat.buffers()[1], np.int32)[flat.offset : flat.offset + len(flat) + 1].astype(np.int64)
    return begin, np.frombuffer(flat.buffers()[2] or b"\0", np.uint8)


def _plainly_written(flat: pa.Array) -> bool:
    """Whether each message is 0x0A, length, key, 0x12, length, value with lengths of one byte, as every encoder writes a short pair."""
    if not len(flat):
        return True
    begin, data = _bytes_of(flat)
    size = np.diff(begin)
    if size.min() < 4:
        return False
    key = data[begin[:-1] + 1].astype(np.int64)
    inside = key + 4 <= size
    value_at = begin[:-1] + 2 + np.where(inside, key, 0)
    value = data[value_at + 1]
    return bool((inside & (data[begin[:-1]] == 0x0A) & (data[value_at] == 0x12) & (value < 128) & (key + value + 4 == size)).all())


def _rewritten(found: Entities, flat: pa.Array, owner: NDArray[np.int64]) -> pa.Array:
    """The same pairs in the plain form; longer words are cut, empty and damaged ones are told apart by the protobuf package."""
    plain = []
    for at, data in zip(owner, flat.to_pylist(), strict=True):
        pair = proto(found.topic, int(found.times[at]), "KeyValuePair", data)
        key, value = pair.key.encode()[:127], pair.value.encode()[:127]
        plain.append(b"\n" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value)
    return pa.array(plain, pa.binary())


def _number(cubes: pa.Array, path: tuple[str, ...]) -> Array:
    """A field of every cube; what a message leaves out is 0."""
    return np.asarray(pc.struct_field(cubes, list(path)).fill_null(0.0).to_numpy())


def heading(quaternion: Array) -> Array:
    """(M,) headings of (M, 4) quaternions x y z w."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is noticed by whoever uses it
        return yaw_of(quaternion[:, [3, 0, 1, 2]])
