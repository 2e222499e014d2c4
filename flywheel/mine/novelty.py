"""How unlike anything seen before a picture is, for its place and for the fleet; and which pictures are all but the same.

Novelty is the mean cosine distance to the k nearest pictures of other root groups (vehicle, day, place), the deep nearest-neighbour
score of Sun et al., "Out-of-distribution detection with deep nearest neighbors", ICML 2022. Near duplicates are pictures joined by
cosine similarities of SAME or more, across drives too. Pictures of one camera are compared among themselves: another lens is no news.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.mine.embeddings import matrix
from flywheel.store import Store
from flywheel.tables import read_table, rewrite_table, rows_table
from flywheel.types import Record, short_id
from flywheel.video import COLUMNS, Still, attempts

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]
NEIGHBOURS, SAME, BLOCK = 5, 0.985, 1024


class DriveNovelty(Record):
    """One drive: the most novel picture for its place and for the fleet (None where there is nothing to compare with)."""

    drive_id: str
    place: str
    frames: int
    novelty_place: float | None
    novelty_fleet: float | None
    t_ns: int


def rank(store: Store) -> pa.Table:
    """NOVELTY of every embedded picture, written as the table's one part."""
    seen = read_table(store, "EMBEDDINGS")
    drives = {row["drive_id"]: row for row in read_table(store, "DRIVES", columns=["drive_id", "place", "root_group"]).to_pylist()}
    seen = seen.filter(pa.array([name in drives for name in seen["drive_id"].to_pylist()], pa.bool_()))
    rows = seen.select(["drive_id", "t_ns", "camera", "media_sha256"]).to_pylist()
    place, group = ([drives[row["drive_id"]][name] for row in rows] for name in ("place", "root_group"))
    vectors, camera = matrix(seen), [row["camera"] for row in rows]
    local, fleet, same = scores(vectors, camera=_codes(camera), place=_codes(place), group=_codes(group))
    names = _cluster_names(same, rows)
    sizes = np.bincount(same, minlength=1)[same] if len(rows) else same
    table = rows_table("NOVELTY", [
        row | {
            "place": place[i], "novelty_place": _known(local[i]), "novelty_fleet": _known(fleet[i]), "cluster": names[i],
            "cluster_size": int(sizes[i]),
        } for i, row in enumerate(rows)
    ])  # fmt: skip
    rewrite_table(store, "NOVELTY", table, part="all")
    return table


def scores(vectors: NDArray[np.float32], *, camera: Ints, place: Ints, group: Ints) -> tuple[Reals, Reals, Ints]:
    """(N,) novelty for the place, for the fleet (NaN without anything to compare with), and the cluster of near duplicates."""
    local, fleet = np.full(len(vectors), np.nan), np.full(len(vectors), np.nan)
    pairs: list[Ints] = []
    for start in range(0, len(vectors), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        likeness = np.asarray(vectors[rows] @ vectors.T, np.float64)
        lens = camera[rows][:, None] == camera[None, :]
        other = lens & (group[rows][:, None] != group[None, :])
        fleet[rows] = _distance(likeness, other)
        local[rows] = _distance(likeness, other & (place[rows][:, None] == place[None, :]))
        first, second = np.nonzero((likeness >= SAME) & lens)
        pairs.append(np.stack([rows[first], second], axis=1))
    return local, fleet, _components(np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64), len(vectors))


def _distance(likeness: Reals, allowed: NDArray[np.bool_]) -> Reals:
    """Mean distance to the nearest allowed columns of each row (as many as there are, NEIGHBOURS at most); NaN without one."""
    near = -np.partition(-np.where(allowed, likeness, -np.inf), min(NEIGHBOURS, likeness.shape[1]) - 1, axis=1)[:, :NEIGHBOURS]
    held = np.isfinite(near)
    total = np.where(held, 1 - near, 0.0).sum(axis=1)
    return np.where(held.any(axis=1), total / np.maximum(held.sum(axis=1), 1), np.nan)


def _components(pairs: Ints, count: int) -> Ints:
    """The connected component of each node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(edges, directed=False)[1] if count else np.zeros(0), np.int64)


def _codes(words: list[str]) -> Ints:
    return np.asarray(np.unique(np.array(words, dtype=np.str_), return_inverse=True)[1], np.int64)


def _cluster_names(clusters: Ints, rows: list[dict[str, Any]]) -> list[str]:
    """Content ids: a cluster is named after the smallest hash of its pictures."""
    least: dict[int, str] = {}
    for cluster, row in zip(clusters.tolist(), rows, strict=True):
        least[cluster] = min(least.get(cluster, row["media_sha256"]), row["media_sha256"])
    return [short_id("cluster", least[cluster]) for cluster in clusters.tolist()]


def _known(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def drives_by_novelty(store: Store) -> list[DriveNovelty]:
    """A row for every drive with pictures, the most novel for its place first."""
    rows = read_table(store, "NOVELTY").to_pylist()
    found = []
    for drive in sorted({row["drive_id"] for row in rows}):
        own = [row for row in rows if row["drive_id"] == drive]
        top = max(own, key=lambda row: (row["novelty_place"] or -1.0, row["novelty_fleet"] or -1.0))
        fleet = [row["novelty_fleet"] for row in own if row["novelty_fleet"] is not None]
        found.append(DriveNovelty(
            drive_id=drive, place=top["place"], frames=len(own), novelty_place=top["novelty_place"],
            novelty_fleet=max(fleet, default=None), t_ns=top["t_ns"],
        ))  # fmt: skip
    return sorted(found, key=lambda row: (-(row.novelty_place or -1.0), -(row.novelty_fleet or -1.0), row.drive_id))


def most_novel(store: Store, count: int) -> list[Still]:
    """The pictures that are least like the rest of the fleet, one of each cluster."""
    rows = [row for row in read_table(store, "NOVELTY").to_pylist() if row["novelty_fleet"] is not None]
    best = {row["cluster"]: row for row in sorted(rows, key=lambda row: (row["novelty_fleet"], row["media_sha256"]))}
    chosen = sorted(best.values(), key=lambda row: (-row["novelty_fleet"], row["media_sha256"]))[:count]
    place = {_key(row): number for number, row in enumerate(chosen)}
    frames = [row for drive in sorted({row["drive_id"] for row in chosen}) for row in _frames(store, drive) if _key(row) in place]
    shown = ((place[_key(row)], found) for row, found in attempts(store, frames) if not isinstance(found, str))
    return [found for _, found in sorted(shown, key=lambda item: item[0])]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["drive_id"], row["t_ns"], row["camera"]


def _frames(store: Store, drive_id: str) -> list[dict[str, Any]]:
    rows = read_table(store, "FRAMES", part=drive_id, columns=["drive_id", *COLUMNS]).to_pylist()
    return [row for row in rows if row["kind"] == "rgb"]
