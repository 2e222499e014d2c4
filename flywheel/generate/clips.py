"""Clips: several consecutive frames of one event as one request, drawn with one noise, kept frame by frame under one digest.

Consistency over time comes from the noise. A clip's frames have one seed, so a generator draws the same noise for each of them; and
that noise is carried along with the picture, so that it sticks to what moves and not to the lens (as in Chang et al. 2024, "How I
warped your noise", with whole cells in place of their integrals: every cell of a frame's noise is used at most once in the next
frame and the rest is drawn anew, so each frame's noise is white and Gaussian by itself).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import NotEvaluable, require
from flywheel.generate.images import Rgb
from flywheel.generate.protocol import ClipPlace
from flywheel.generate.request import VariationRequest

Row = dict[str, Any]
Flow = NDArray[np.float32]
FLOW = "dis-medium-1: dense inverse search on the parents (Kroeger et al. 2016)"
FRAMES, SPACING_NS = 8, 100_000_000
# A step may be off by so much of the spacing asked for; a longer one is a gap.
LOOSE = 0.6


@dataclass(frozen=True)
class Clip:
    """What a motion gate looks at: the parents, what was drawn of them, when, and how the parents moved (`ClipPlace.flows`)."""

    variation_id: str
    parents: tuple[Rgb, ...]
    outputs: tuple[Rgb, ...]
    t_ns: tuple[int, ...]
    flows: tuple[Flow, ...]


def clip_frames(rows: Sequence[Row], t_ns: int, *, count: int = FRAMES, spacing_ns: int = SPACING_NS) -> tuple[Row, ...]:
    """`count` FRAMES rows of one camera, about `spacing_ns` apart, with the one at `t_ns` in their middle, or as near to it as can be.

    NotEvaluable where the camera has not so many in a row.
    """
    times = np.array([row["t_ns"] for row in rows], np.int64)
    wanted = t_ns + np.arange(1 - count, count) * spacing_ns
    nearest = np.abs(times[None, :] - wanted[:, None]).argmin(axis=1)
    there = np.abs(times[nearest] - wanted) <= LOOSE / 2 * spacing_ns
    starts = [at for at in range(count) if there[at : at + count].all()]
    if not starts:
        raise NotEvaluable(f"no {count} frames {spacing_ns / 1e9:g} s apart around {t_ns}: the camera is slower, or silent there")
    first = min(starts, key=lambda at: abs(at + (count - 1) / 2 - (count - 1)))
    return tuple(rows[int(at)] for at in nearest[first : first + count])


def shots(request: VariationRequest) -> tuple[VariationRequest, ...]:
    """One request a frame, all with the clip's id and seed; the request itself where it is no clip."""
    if not request.clip:
        return (request,)
    return tuple(request.model_copy(update={"t_ns": frame.t_ns, "parent_sha256": frame.parent_sha256}) for frame in request.clip)


def flows_between(frames: Sequence[Rgb]) -> tuple[Flow, ...]:
    """For each frame but the first, (H, W, 2): how far right and down of each of its pixels the same point lies in the frame before."""
    cv2 = require("cv2", extra="generate")
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    return tuple(np.asarray(finder.calc(now, was, None), np.float32) for was, now in pairwise(grey))


def places(frames: Sequence[Rgb], t_ns: Sequence[int]) -> tuple[ClipPlace, ...]:
    """Where each frame stands in its clip. Frames of different size have no flows between them."""
    flows = flows_between(frames) if len({frame.shape for frame in frames}) == 1 else ()
    return tuple(ClipPlace(index=k, t_s=(t - t_ns[0]) / 1e9, flows=flows[:k]) for k, t in enumerate(t_ns))


def noise_ids(flows: Sequence[Flow], size: tuple[int, int]) -> tuple[NDArray[np.int64], int]:
    """(h, w) which noise each cell of a clip's last frame holds, and how many noises were numbered by then.

    The first frame's cells hold 0 .. h w - 1. From frame to frame a cell takes the number of the cell that it was before; a cell that
    was nowhere, or where another was already, takes a new one. So no number stands twice in a frame.
    """
    height, width = size
    ids = np.arange(height * width).reshape(size)
    issued = ids.size
    for flow in flows:
        rows, columns = _before(flow, size)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        was = np.where(inside, rows * width + columns, -1).ravel()
        _, first = np.unique(was, return_index=True)
        held = np.zeros(was.size, bool)
        held[first] = True
        held &= was >= 0
        now = np.empty(was.size, np.int64)
        now[held] = ids.ravel()[was[held]]
        fresh = int((~held).sum())
        now[~held] = issued + np.arange(fresh)
        issued, ids = issued + fresh, now.reshape(size)
    return ids, issued


def _before(flow: Flow, size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the cell in the frame before that lies at each cell's centre."""
    height, width = size
    high, wide = flow.shape[0] / height, flow.shape[1] / width
    y, x = (np.arange(height) + 0.5) * high, (np.arange(width) + 0.5) * wide
    at = flow[y.astype(np.intp)[:, None], x.astype(np.intp)[None, :]]
    rows, columns = np.floor((y[:, None] + at[..., 1]) / high), np.floor((x[None, :] + at[..., 0]) / wide)
    return rows.astype(np.int64), columns.astype(np.int64)


def carried(first: NDArray[np.floating[Any]], place: ClipPlace | None, *, seed: int) -> NDArray[np.float32]:
    """(C, h, w) the noise of one frame, given that of its clip's first frame, which every frame of the clip can draw from its seed.

    The first frame, and a frame of no clip, keep theirs.
    """
    noise = np.asarray(first, np.float32)
    if place is None or not place.flows:
        return noise
    ids, issued = noise_ids(place.flows, (noise.shape[1], noise.shape[2]))
    channels, cells = noise.shape[0], noise.shape[1] * noise.shape[2]
    later = np.random.default_rng([seed, 1]).standard_normal((issued - cells, channels), np.float32)
    table = np.concatenate([noise.reshape(channels, cells), later.T], axis=1)
    return np.ascontiguousarray(table[:, ids])


def joined(rows: Sequence[Row], requests: Sequence[VariationRequest]) -> list[Row]:
    """The VARIATIONS rows of shots, those of one clip as one row: its key frame's, the frames beside it, and the worst of all scores.

    A clip that lacks a frame has failed, for that frame's reason; a score that one frame lacks the clip lacks.
    """
    pairs = groupby(zip(rows, requests, strict=True), key=lambda pair: pair[1].variation_id)
    return [_joined([row for row, _ in group], group[0][1]) for group in (list(pairs_of_one) for _, pairs_of_one in pairs)]


def _joined(rows: list[Row], request: VariationRequest) -> Row:
    if not request.clip:
        return rows[0]
    middle = rows[request.key]
    lost = [f"frame {k + 1} of {len(rows)}: {row['reason']}" for k, row in enumerate(rows) if row["status"] != "done"]
    spent = {"run_seconds": round(sum(row["run_seconds"] for row in rows), 3)}
    if lost:
        common = {name: value for name, value in middle.items() if not name.startswith(("score_", "output_", "embedding"))}
        return common | spent | {"status": "failed", "reason": lost[0]}
    frames = {
        "clip_t_ns": [frame.t_ns for frame in request.clip], "clip_parents": [frame.parent_sha256 for frame in request.clip],
        "clip_outputs": [row["output_sha256"] for row in rows],
    }  # fmt: skip
    return middle | spent | frames | {name: worst([row[name] for row in rows]) for name in middle if name.startswith("score_")}


def worst(scores: Sequence[float | None]) -> float | None:
    """The least of the scores, or None if one is missing."""
    known = [score for score in scores if score is not None]
    return min(known) if len(known) == len(scores) else None


def drawn_clips(requests: Sequence[VariationRequest], parents: Sequence[Any], outputs: Sequence[Any]) -> list[Clip]:
    """The clips among a chunk's shots whose every frame was drawn: `parents` as `drawing` loads them, `outputs` pixels."""
    found = []
    for request, group in groupby(zip(requests, parents, outputs, strict=True), key=lambda shot: shot[0].variation_id):
        shots_of = list(group)
        if shots_of[0][0].clip and not any(isinstance(thing, str) for shot in shots_of for thing in shot[1:]):
            place = shots_of[-1][1].extras.place
            found.append(Clip(
                variation_id=request, parents=tuple(shot[1].rgb for shot in shots_of), outputs=tuple(shot[2] for shot in shots_of),
                t_ns=tuple(shot[0].t_ns for shot in shots_of), flows=place.flows if place else (),
            ))  # fmt: skip
    return found
