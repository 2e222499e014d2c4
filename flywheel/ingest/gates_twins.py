"""The same drive under another name, in another format or cut shorter: known by what was driven when.

A fingerprint is the KEPT smallest digests of ten-second pieces of the drive (a bottom-k sketch: A. Broder, "On the resemblance and
containment of documents", 1997): each piece is its UTC time and the speed at its whole seconds. Pictures count too, each by its hash.
Two drives with two equal digests share at least some seconds; recordings with relative times share none with those in UTC.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.ingest.drive import Finding
from flywheel.ingest.gates_parts import series

KEPT, PIECE_S, MIN_DIFFERENT, ENOUGH = 8, 10, 4, 2
RESOLUTION_MPS, MAX_AGE_NS = 0.1, 250_000_000


def pieces(signals: pa.Table) -> set[str]:
    """Digests of the ten-second pieces of one window of SIGNALS; standing or steady ones say too little and are left out."""
    speed = series(signals, "speed_mps")
    if not len(speed.t_ns):
        return set()
    seconds = np.arange(-(-int(speed.t_ns[0]) // 10**9), int(speed.t_ns[-1]) // 10**9 + 1)
    at = np.searchsorted(speed.t_ns, seconds * 10**9, side="right") - 1
    if not len(seconds):
        return set()
    fresh = seconds * 10**9 - speed.t_ns[at] <= MAX_AGE_NS
    levels = np.round(speed.values[at] / RESOLUTION_MPS).astype(np.int64)
    found = set()
    for begin in range(int(-seconds[0] % PIECE_S), len(seconds) - PIECE_S, PIECE_S):
        piece = levels[begin : begin + PIECE_S]
        if fresh[begin : begin + PIECE_S].all() and len(set(piece.tolist())) >= MIN_DIFFERENT:
            found.add(_digest(f"{seconds[begin]}:{','.join(map(str, piece))}"))
    return found


def picture_digests(frames: pa.Table) -> set[str]:
    """Digests of the rgb pictures of one window of FRAMES (a video's packets all have the hash of the whole)."""
    rgb = frames.filter(pc.equal(frames["kind"], "rgb"))
    return {_digest(sha256) for sha256 in pc.unique(rgb["media_sha256"]).to_pylist()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def smallest(digests: Iterable[str]) -> list[str]:
    """What is kept of many digests."""
    return heapq.nsmallest(KEPT, set(digests))


def fingerprint(driven: Iterable[str], seen: Iterable[str]) -> list[str]:
    """A drive's fingerprint: marks of what it drove (d) and of what it saw (p)."""
    return [f"d{digest}" for digest in driven] + [f"p{digest}" for digest in seen]


@dataclass
class Twins:
    """Which drives carry which marks."""

    carriers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    marks: dict[str, frozenset[str]] = field(default_factory=dict)

    def add(self, drive_id: str, marks: Iterable[str]) -> None:
        """Remembers a drive's fingerprint."""
        self.marks[drive_id] = frozenset(marks)
        for mark in self.marks[drive_id]:
            self.carriers[mark].add(drive_id)

    def findings(self, drive_id: str, marks: Iterable[str]) -> list[Finding]:
        """A warning for every other drive that shares enough marks of one kind: ENOUGH, or all that one of both has."""
        own = frozenset(marks)
        near = {other for mark in own for other in self.carriers.get(mark, ()) if other != drive_id}
        return [_twin(other, len(own & self.marks[other])) for other in sorted(near) if _enough(own, self.marks[other])]


def _enough(own: frozenset[str], other: frozenset[str]) -> bool:
    for kind in ("d", "p"):
        mine, theirs = ({mark for mark in marks if mark.startswith(kind)} for marks in (own, other))
        if mine and theirs and len(mine & theirs) >= min(ENOUGH, len(mine), len(theirs)):
            return True
    return False


def _twin(other: str, count: int) -> Finding:
    text = f"holds what {other} holds too ({count} equal marks of time and speed, or of pictures): a copy, or a part of it?"
    return Finding(severity="warning", gate="twin", message=text)
