"""The still part of a world made ready to draw: ground coats in painting order, building and post faces, shadow footprints."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import faces as f
from flywheel.fleet.faces import FaceList, Faces, Reals, grouped, joined, placed, unit
from flywheel.fleet.scene import Area, Block, Marking, Point, Post, Signal, Strip, World

# Ground ids in painting order; 0 is the sky. All share the plane z = 0.
EARTH, KERB, WALK, TARMAC, TRACK, JUNCTION, LINE = range(1, 8)
GROUND_IDS = 8
STILL_GROUP = 1 << 20  # groups below belong to road users
DASH_M, GAP_M = 3.0, 6.0
KERB_M = 0.18
FACADES = (
    (0.62, 0.44, 0.36),
    (0.74, 0.69, 0.60),
    (0.58, 0.57, 0.55),
    (0.80, 0.77, 0.71),
    (0.66, 0.55, 0.43),
    (0.50, 0.53, 0.57),
    (0.55, 0.36, 0.30),
)
ROOFS = ((0.42, 0.27, 0.22), (0.33, 0.33, 0.35), (0.45, 0.42, 0.40))


@dataclass(frozen=True)
class Coat:
    """Convex ground polygons (N, 4, 3) of one id, with centre (N, 2) and reach (N,) for quick culling."""

    face_id: int
    polygons: Reals
    centre: Reals
    reach: Reals


@dataclass(frozen=True)
class Scenery:
    """A prepared world. areas: (ground id, outline (K, 3)); tags index `blocks`; lamps (L, 3) are the lights' places;
    feet (M, 4, 2) and tops_m (M,) are what throws shadows."""

    world: World
    coats: tuple[Coat, ...]
    areas: tuple[tuple[int, Reals], ...]
    faces: Faces
    centre: Reals
    reach: Reals
    lamps: Reals
    trees: tuple[Post, ...]
    feet: Reals
    tops_m: Reals


def coat(face_id: int, polygons: Sequence[Reals]) -> Coat:
    """Four-cornered ground polygons with their culling circles."""
    stack = np.array(polygons, np.float32).reshape(-1, 4, 2)
    centre = stack.mean(axis=1)
    reach = np.linalg.norm(stack - centre[:, None], axis=2).max(axis=1)
    lifted = np.concatenate([stack, np.zeros((*stack.shape[:2], 1), np.float32)], axis=2)
    return Coat(face_id, lifted, centre.astype(np.float32), reach.astype(np.float32))


def side_lines(points: NDArray[np.float64], *, left_m: float, right_m: float) -> tuple[Reals, Reals]:
    """(N, 2) left and right edges of a polyline, mitred at its bends; offsets are positive to the left."""
    steps = np.diff(points, axis=0)
    steps = steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-6)
    along = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    stretch = 1.0 / np.clip(np.einsum("ij,ij->i", along, np.concatenate([steps[:1], steps])), 0.5, 1.0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * stretch[:, None]
    return (points + across * left_m).astype(np.float32), (points + across * right_m).astype(np.float32)


def plain(line: Sequence[Point]) -> NDArray[np.float64]:
    """(N, 2) the polyline without points that lie within a centimetre of the rest (Douglas-Peucker)."""
    import cv2

    points = np.asarray(line, np.float64)
    kept = cv2.approxPolyDP((points - points[0]).astype(np.float32)[:, None], 0.01, False)[:, 0]
    return np.asarray(kept + points[0], np.float64)


def band(line: Sequence[Point], *, left_m: float, right_m: float) -> list[Reals]:
    """Quads (4, 2) between two offsets of a polyline."""
    if len(line) < 2 or len(points := plain(line)) < 2:
        return []
    left, right = side_lines(points, left_m=left_m, right_m=right_m)
    return [np.array([left[i], left[i + 1], right[i + 1], right[i]]) for i in range(len(left) - 1)]


def cut_line(line: Sequence[Point], *, start_m: float, end_m: float) -> list[Point]:
    """The part of a polyline between two distances along it."""
    points = np.asarray(line, np.float64)
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    inner = at[(at > start_m) & (at < end_m)]
    stations = [start_m, *inner.tolist(), min(end_m, float(at[-1]))]
    return [(float(np.interp(s, at, points[:, 0])), float(np.interp(s, at, points[:, 1]))) for s in stations]


def marking_quads(marking: Marking) -> list[Reals]:
    """The paint of one marking: whole, or dashes of 3 m with gaps of 6 m (German RMS rural pattern)."""
    if len(marking.line) < 2:
        return []
    half = marking.width_m / 2
    if not marking.dashed:
        return band(marking.line, left_m=half, right_m=-half)
    length = float(np.linalg.norm(np.diff(np.asarray(marking.line), axis=0), axis=1).sum())
    starts = np.arange(0.0, max(length - 0.5, 0.0), DASH_M + GAP_M)
    dashes = [cut_line(marking.line, start_m=float(s), end_m=float(s) + DASH_M) for s in starts]
    return [quad for dash in dashes for quad in band(dash, left_m=half, right_m=-half)]


def zebra(area: Area, lanes: Sequence[Strip]) -> list[Reals]:
    """Bars of half a metre across a crosswalk, parallel to the nearest lane."""
    outline = np.asarray(area.outline, np.float64)
    if len(outline) < 3:
        return []
    along = nearest_direction(outline.mean(axis=0), lanes)
    axes = np.array([along, [-along[1], along[0]]])
    low, high = (outline @ axes.T).min(axis=0), (outline @ axes.T).max(axis=0)
    bars = np.arange(low[1] + 0.25, high[1] - 0.4, 1.0)
    corner = [np.array([[low[0], b], [high[0], b], [high[0], b + 0.5], [low[0], b + 0.5]]) for b in bars]
    return [np.asarray(bar @ axes, np.float32) for bar in corner]


def nearest_direction(point: NDArray[np.float64], lanes: Sequence[Strip]) -> NDArray[np.float64]:
    """The unit direction of the lane segment nearest to a point; +x where there are no lanes."""
    best, found = math.inf, np.array([1.0, 0.0])
    for lane in lanes:
        line = np.asarray(lane.line, np.float64)
        steps = np.diff(line, axis=0)
        gap = np.linalg.norm(line[:-1] + steps / 2 - point, axis=1) - np.linalg.norm(steps, axis=1) / 2
        if len(gap) and gap.min() < best:
            best, step = float(gap.min()), steps[int(gap.argmin())]
            found = step / max(float(np.linalg.norm(step)), 1e-6)
    return found


def lane_gap(point: Point, lanes: Sequence[Strip]) -> tuple[float, NDArray[np.float64]]:
    """Distance from a point to the nearest lane's edge (negative inside) and the direction towards that lane's middle."""
    best, towards, here = math.inf, np.array([1.0, 0.0]), np.asarray(point, np.float64)
    for lane in lanes:
        line = np.asarray(lane.line, np.float64)
        start, steps = line[:-1], np.diff(line, axis=0)
        t = np.clip(np.einsum("ij,ij->i", here - start, steps) / np.maximum((steps**2).sum(axis=1), 1e-9), 0, 1)
        offsets = start + steps * t[:, None] - here
        gaps = np.linalg.norm(offsets, axis=1)
        if len(gaps) and gaps.min() - lane.width_m / 2 < best:
            k = int(gaps.argmin())
            best, towards = float(gaps[k]) - lane.width_m / 2, offsets[k] / max(float(gaps[k]), 1e-6)
    return best, towards


def building(block: Block, *, tag: int) -> Faces:
    """A facade box; low houses get a pitched roof within the block's height, higher ones a flat roof with a rim."""
    out = FaceList(cls=f.BUILDING)
    hue, roof = FACADES[int(unit(block.seed, 1) * len(FACADES))], ROOFS[int(unit(block.seed, 2) * len(ROOFS))]
    hue = tuple(float(np.clip(c * (0.85 + 0.3 * unit(block.seed, 3)), 0, 1)) for c in hue)  # type: ignore[assignment]
    a, b, top = block.length_m / 2, block.width_m / 2, block.height_m
    wall = top if top > 9.5 else top * 0.68
    out.box((-a, -b, 0.0), (a, b, wall), hue, material=f.FACADE, tag=tag)
    if top > 9.5:
        out.face([(-a, -b, top), (a, -b, top), (a, b, top), (-a, b, top)], roof, material=f.ROOF, bias=1e-3)
    else:
        across = min(a, b) * 0.98
        ridge = ((-a, a), (-b + across, b - across)) if a >= b else ((-a + across, a - across), (-b, b))
        out.taper((-a, -b, wall), (a, b, top), ridge[0], ridge[1], roof, material=f.ROOF)
    return placed(out.build(), x_m=block.x_m, y_m=block.y_m, heading_rad=block.heading_rad)


def tree_trunk(post: Post) -> Faces:
    """A tapered stem up into the crown, which is drawn facing the camera at each instant."""
    out, r = FaceList(cls=f.VEGETATION), 0.10 + 0.012 * post.height_m
    brown = (0.33 + 0.08 * unit(post.seed, 1), 0.27, 0.21)
    out.taper((-r, -r, 0), (r, r, post.height_m * 0.62), (-r * 0.6, r * 0.6), (-r * 0.6, r * 0.6), brown)
    return placed(out.build(), x_m=post.x_m, y_m=post.y_m, heading_rad=unit(post.seed, 2) * 3)


def street_lamp(post: Post, lanes: Sequence[Strip]) -> tuple[Faces, tuple[float, float, float]]:
    """A pole with an arm over the road, and where its light hangs."""
    out, h = FaceList(cls=f.POLE), post.height_m
    _, to = lane_gap((post.x_m, post.y_m), lanes)
    grey, arm = (0.42, 0.44, 0.46), 1.8
    out.taper((-0.09, -0.09, 0), (0.09, 0.09, h), (-0.05, 0.05), (-0.05, 0.05), grey)
    out.box((0.0, -0.05, h - 0.1), (arm, 0.05, h), grey)
    out.box((arm - 0.2, -0.16, h - 0.06), (arm + 0.6, 0.16, h + 0.1), (0.5, 0.5, 0.52))
    low = h - 0.08
    out.face(
        [(arm - 0.2, -0.16, low), (arm - 0.2, 0.16, low), (arm + 0.6, 0.16, low), (arm + 0.6, -0.16, low)], (1.0, 0.84, 0.58), glow=f.LAMP
    )
    for y, sign in ((-0.17, 1), (0.17, -1)):
        edge = [(arm - 0.2, y, low - 0.04), (arm + 0.6, y, low - 0.04), (arm + 0.6, y, low + 0.06), (arm - 0.2, y, low + 0.06)]
        out.face(edge[::sign], (1.0, 0.84, 0.58), glow=f.LAMP)
    heading = math.atan2(float(to[1]), float(to[0]))
    place = (post.x_m + (arm + 0.2) * float(to[0]), post.y_m + (arm + 0.2) * float(to[1]), h - 0.1)
    return placed(out.build(), x_m=post.x_m, y_m=post.y_m, heading_rad=heading), place


def signal_mast(signal: Signal, lanes: Sequence[Strip]) -> Faces:
    """Head housing, and a pole below it or, for a head above a lane, a mast beside the road with an arm."""
    out, dark, z = FaceList(cls=f.POLE), (0.10, 0.11, 0.10), signal.z_m
    out.box((-0.18, -0.24, z - 0.65), (0.16, 0.24, z + 0.65), dark)
    right = np.array([math.sin(signal.facing_rad), -math.cos(signal.facing_rad)])
    steps = [
        float(d) for d in np.arange(0.0, 14.0, 1.0) if lane_gap((signal.x_m + d * right[0], signal.y_m + d * right[1]), lanes)[0] > 0.2
    ]
    off = -(steps[0] if steps else 6.0)
    grey = (0.38, 0.40, 0.41)
    out.taper((-0.1 + 0.25, off - 0.09, 0), (0.1 + 0.25, off + 0.09, z + 0.5), (0.18, 0.32), (off - 0.06, off + 0.06), grey)
    if off < -0.5:
        out.box((0.2, off, z + 0.15), (0.32, 0.0, z + 0.27), grey)
    return placed(out.build(), x_m=signal.x_m, y_m=signal.y_m, heading_rad=signal.facing_rad)


def ground_coats(world: World) -> tuple[Coat, ...]:
    """Coats in painting order: kerbs, pavements, lanes with darker wheel tracks, then paint."""
    kerbs = [q for s in world.sidewalks for q in band(s.line, left_m=s.width_m / 2, right_m=-s.width_m / 2)]
    walks = [q for s in world.sidewalks for q in band(s.line, left_m=s.width_m / 2 - KERB_M, right_m=KERB_M - s.width_m / 2)]
    lanes = [q for s in world.lanes for q in band(s.line, left_m=s.width_m / 2, right_m=-s.width_m / 2)]
    tracks = [q for s in world.lanes for side in (-0.8, 0.8) for q in band(s.line, left_m=side + 0.3, right_m=side - 0.3)]
    return coat(KERB, kerbs), coat(WALK, walks), coat(TARMAC, lanes), coat(TRACK, tracks)


def paint_coats(world: World) -> tuple[Coat, ...]:
    """Markings and crosswalk bars, which go over the junctions."""
    bars = [bar for area in world.crosswalks for bar in zebra(area, world.lanes)]
    return (coat(LINE, [quad for marking in world.markings for quad in marking_quads(marking)]), coat(LINE, bars))


def prepare(world: World) -> Scenery:
    """Everything about a world that does not change from frame to frame."""
    lamps = [street_lamp(post, world.lanes) for post in world.posts if post.kind == "lamp"]
    trees = tuple(post for post in world.posts if post.kind == "tree")
    parts = [building(block, tag=i) for i, block in enumerate(world.blocks)]
    slim = [faces for faces, _ in lamps] + [tree_trunk(tree) for tree in trees] + [signal_mast(s, world.lanes) for s in world.signals]
    parts += [grouped(faces, STILL_GROUP + k) for k, faces in enumerate(slim)]
    still = joined(parts)
    centre = still.verts.mean(axis=1) if len(still) else np.zeros((0, 3), np.float32)
    areas = tuple((JUNCTION, _lifted(area)) for area in world.junctions if len(area.outline) >= 3)
    return Scenery(
        world=world, coats=ground_coats(world) + paint_coats(world), areas=areas, faces=still, centre=centre,
        reach=np.linalg.norm(still.verts - centre[:, None], axis=2).max(axis=1) if len(still) else np.zeros(0, np.float32),
        lamps=np.array([place for _, place in lamps], np.float32).reshape(-1, 3), trees=trees,
        feet=foot_prints([_foot(block) for block in world.blocks] + [_stem(post) for post in world.posts]),
        tops_m=np.array([b.height_m for b in world.blocks] + [p.height_m for p in world.posts], np.float32),
    )  # fmt: skip


def _foot(block: Block) -> tuple[float, float, float, float, float]:
    return block.x_m, block.y_m, block.heading_rad, block.length_m, block.width_m


def _stem(post: Post) -> tuple[float, float, float, float, float]:
    wide = 0.55 * post.height_m if post.kind == "tree" else 0.2
    return post.x_m, post.y_m, 0.0, wide, wide


def foot_prints(boxes: Sequence[tuple[float, float, float, float, float]]) -> Reals:
    """(N, 4, 2) ground corners of boxes given as x, y, heading, length, width."""
    table = np.array(boxes, np.float32).reshape(-1, 5)
    c, s = np.cos(table[:, 2])[:, None], np.sin(table[:, 2])[:, None]
    u, v = table[:, 3:4] / 2 * np.array([1, -1, -1, 1], np.float32), table[:, 4:5] / 2 * np.array([1, 1, -1, -1], np.float32)
    return np.stack([table[:, :1] + c * u - s * v, table[:, 1:2] + s * u + c * v], axis=2).astype(np.float32)


def _lifted(area: Area) -> Reals:
    outline = np.asarray(area.outline, np.float32)
    return np.concatenate([outline, np.zeros((len(outline), 1), np.float32)], axis=1)
