"""The base pass: what each pixel shows, whatever the light and the weather (ids, depth, classes, places, texture)."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import faces as f
from flywheel.fleet import figures, noise, paint, raster, scenery, texture
from flywheel.fleet.faces import Bytes, FaceList, Faces, Reals, joined, placed, taken
from flywheel.fleet.paint import LEAF_LEVELS
from flywheel.fleet.raster import FAR_M, View
from flywheel.fleet.scene import Camera, Instant, Signal, World
from flywheel.fleet.scenery import GROUND_IDS, Scenery

GROUND_SEEN_M, FACES_SEEN_M, ACTORS_SEEN_M, PAINT_SEEN_M = 170.0, 260.0, 180.0, 110.0
LIT = {"red": (1.0, 0.16, 0.10), "yellow": (1.0, 0.72, 0.12), "green": (0.20, 1.0, 0.55)}
# sRGB colour, class and material of the ground ids (index 0 is the sky).
GROUND = (
    ((0.0, 0.0, 0.0), f.SKY, f.PLAIN), ((0.37, 0.42, 0.25), f.GROUND, f.GRASS), ((0.62, 0.61, 0.59), f.SIDEWALK, f.PLAIN),
    ((0.54, 0.52, 0.50), f.SIDEWALK, f.PAVING), ((0.335, 0.335, 0.345), f.ROAD, f.ASPHALT), ((0.305, 0.305, 0.315), f.ROAD, f.ASPHALT),
    ((0.325, 0.325, 0.335), f.ROAD, f.ASPHALT), ((0.86, 0.86, 0.84), f.MARKING, f.PAINT),
)  # fmt: skip
LEAF_SHADES = (0.62, 1.0, 1.3)
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Table:
    """Per id (rows): colour sRGB (N, 3), normal (N, 3), plane (N, 3) of 1/z, (N, 2) nearest and farthest depth in metres,
    and (N,) cls, material, glow, tag."""

    colour: Reals
    normal: Reals
    plane: Reals
    span: Reals
    cls: Bytes
    material: Bytes
    glow: Bytes
    tag: NDArray[np.int32]


@dataclass(frozen=True)
class Base:
    """One instant, drawn without light. ids (2H, 2W); all other images (H, W[, 3]); places in metres (world: x_m, y_m, z_m);
    ray (3, H, W): world direction with depth_m * ray = place - eye; reach: its length."""

    scenery: Scenery
    instant: Instant
    view: View
    seed: int
    table: Table
    ids: NDArray[np.int32]
    ids_px: NDArray[np.int32]
    depth_m: Reals
    cls: Bytes
    material: Bytes
    x_m: Reals
    y_m: Reals
    z_m: Reals
    ground: NDArray[np.bool_]
    ray: Reals
    reach: Reals
    texture: Reals
    windows: Reals


_PREPARED: OrderedDict[int, Scenery] = OrderedDict()


def prepared(world: World) -> Scenery:
    """The world made ready to draw; the last four worlds are kept (a drive draws one world hundreds of times)."""
    found = _PREPARED.get(id(world))
    if found is None or found.world is not world:
        found = _PREPARED[id(world)] = scenery.prepare(world)
        while len(_PREPARED) > 4:
            _PREPARED.popitem(last=False)
    return found


def draw_ground(canvas: raster.Canvas, still: Scenery, view: View) -> None:
    """Earth up to the horizon, then every coat and junction within sight, in painting order."""
    down = (canvas.rows[:, 0] - view.camera.cy_px) / view.camera.fy_px * view.turn[2, 1] + view.turn[2, 2]
    canvas.ids[down < -view.eye[2] / FAR_M] = scenery.EARTH  # a level camera: the horizon is a row
    _paint_coats(canvas, still.coats[:4], view)
    here = view.eye[:2].astype(np.float32)
    for ground_id, outline in still.areas:
        if np.linalg.norm(outline[:, :2] - here, axis=1).min() < GROUND_SEEN_M:
            raster.paint_area(canvas, outline, view, face_id=ground_id)
    _paint_coats(canvas, still.coats[4:], view)


def _paint_coats(canvas: raster.Canvas, coats: Sequence[scenery.Coat], view: View) -> None:
    shown = [coat.polygons[_in_sight(coat, view)] for coat in coats]
    ids = np.repeat([coat.face_id for coat in coats], [len(polygons) for polygons in shown])
    raster.paint_flat(canvas, np.concatenate(shown), view, ids=ids.tolist())


def _in_sight(coat: scenery.Coat, view: View) -> NDArray[np.bool_]:
    """Which polygons of a coat may be seen: near enough, and inside the wedge of the image's width."""
    seen_m = PAINT_SEEN_M if coat.face_id in (scenery.LINE, scenery.TRACK) else GROUND_SEEN_M
    flat = (coat.centre - view.eye[:2].astype(np.float32)) @ view.turn[:2].astype(np.float32)
    wedge = np.float32(max(view.camera.cx_px, view.camera.width_px - view.camera.cx_px) / view.camera.fx_px)
    ahead, aside = flat[:, 2] + 1.5, np.abs(flat[:, 0])
    inside = (ahead > -coat.reach) & (aside - wedge * np.maximum(ahead, 0) < coat.reach * np.float32(np.hypot(1.0, wedge)))
    return np.asarray(inside & (np.hypot(ahead, aside) - coat.reach < seen_m))


def ray_grid(view: View) -> Reals:
    """(3, H, W) world direction of each pixel's centre, scaled so that depth times ray is the place seen."""
    camera, turn = view.camera, view.turn.astype(np.float32)
    u = (np.arange(camera.width_px, dtype=np.float32) + np.float32(0.5 - camera.cx_px)) / np.float32(camera.fx_px)
    v = (np.arange(camera.height_px, dtype=np.float32) + np.float32(0.5 - camera.cy_px)) / np.float32(camera.fy_px)
    return np.asarray(turn[:, 0, None, None] * u + (turn[:, 1, None] * v + turn[:, 2, None])[:, :, None], np.float32)


@lru_cache(maxsize=8)
def lenses(state: str | None) -> Faces:
    """Three lenses in a signal's frame; the lit one glows."""
    out = FaceList(cls=f.POLE)
    for colour, z in (("red", 0.40), ("yellow", 0.0), ("green", -0.40)):
        angles = np.arange(8) * np.pi / 4
        ring = [(-0.19, -0.17 * np.cos(t), z + 0.17 * np.sin(t)) for t in angles]
        on = colour == state
        shade = LIT[colour] if on else tuple(0.16 * c for c in LIT[colour])
        out.face(ring, shade, glow=f.SIGNAL if on else f.NO_GLOW, bias=3e-3)
    return out.build()


def signal_faces(signal: Signal, state: str | None) -> Faces:
    """The lenses of a signal in the world."""
    return placed(lenses(state), x_m=signal.x_m, y_m=signal.y_m, heading_rad=signal.facing_rad, z_m=signal.z_m)


@lru_cache(maxsize=1)
def ground_faces() -> Faces:
    """One face of the plane z = 0 for each ground id."""
    flat = FaceList(cls=f.GROUND)
    for colour, _, material in GROUND:
        flat.face([(0, 0, 0), (1, 0, 0), (1, 1, 0)], colour, material=material)
    return flat.build()


def moving_faces(still: Scenery, instant: Instant, view: View) -> Faces:
    """Everything that depends on the instant: road users, lit lenses, and crowns turned to the camera."""
    t_s = (instant.t_ns % 10**13) * 1e-9
    shown = [instant.actors[k] for k in np.flatnonzero(_in_view(instant, view))]
    parts = [figures.road_user(actor, t_s=t_s, eye=view.eye, group=k) for k, actor in enumerate(shown)]
    signals = [s for s in still.world.signals if np.hypot(s.x_m - view.eye[0], s.y_m - view.eye[1]) < 150.0]
    parts += [signal_faces(signal, instant.lights.get(signal.light_id)) for signal in signals]
    offset = [((t.x_m - view.eye[0]) * view.turn[0, 2] + (t.y_m - view.eye[1]) * view.turn[1, 2], t) for t in still.trees]
    trees = [tree for ahead, tree in offset if -3.0 < ahead < 200.0]
    places = np.array([[t.x_m, t.y_m] for t in trees], np.float32).reshape(-1, 2)
    heights = np.array([t.height_m for t in trees], np.float32)
    parts.append(figures.crowns(places, heights, [t.seed for t in trees], view.eye, view.turn[:, 0], stamps=len(noise.leaf_masks())))
    return joined(parts)


def _in_view(instant: Instant, view: View) -> NDArray[np.bool_]:
    """Which actors may be in the picture: near enough, and within the wedge of its width."""
    table = np.array([[a.x_m, a.y_m, a.length_m + a.width_m] for a in instant.actors]).reshape(-1, 3)
    flat = (table[:, :2] - view.eye[:2]) @ view.turn[:2]
    wedge = max(view.camera.cx_px, view.camera.width_px - view.camera.cx_px) / view.camera.fx_px
    ahead, aside, reach = flat[:, 2], np.abs(flat[:, 0]), table[:, 2] / 2
    inside = (ahead > -reach) & (aside - wedge * np.maximum(ahead, 0) < reach * np.hypot(1.0, wedge) + 0.5)
    return np.asarray(inside & (np.hypot(ahead, aside) < ACTORS_SEEN_M))


def draw(still: Scenery, instant: Instant, view: View) -> tuple[raster.Canvas, Table]:
    """Ids of all samples and the table they index."""
    canvas = raster.blank(view)
    draw_ground(canvas, still, view)
    offset = still.centre[:, :2] - view.eye[:2].astype(np.float32)
    near = np.linalg.norm(offset, axis=1) - still.reach < FACES_SEEN_M
    seen = raster.facing(joined([taken(still.faces, near), moving_faces(still, instant, view)]), view)
    plane = paint.paint_faces(canvas, seen, view, first_id=GROUND_IDS, stamps=list(noise.leaf_masks()))
    return canvas, table_of(seen, plane, view)


def table_of(seen: Faces, plane: Reals, view: View) -> Table:
    """Ground rows, then three rows a face (leaf masks use all three, other faces the first)."""
    ground = ground_faces()
    shade = np.where((seen.material == f.LEAF)[:, None], np.array(LEAF_SHADES, np.float32), np.float32(1.0)).reshape(-1, 1)

    def many(values: NDArray[Scalar]) -> NDArray[Scalar]:
        return np.repeat(values, LEAF_LEVELS, axis=0)

    return Table(
        colour=np.concatenate([ground.colour, np.clip(many(seen.colour) * shade, 0, 1)]).astype(np.float32),
        normal=np.concatenate([ground.normal, many(seen.normal)]),
        plane=np.concatenate([raster.planes(ground, view), many(plane)]),
        span=np.concatenate([np.full((GROUND_IDS, 2), (raster.NEAR_M, FAR_M), np.float32), many(raster.span(seen, view))]),
        cls=np.concatenate([np.array([row[1] for row in GROUND], np.uint8), many(seen.cls)]),
        material=np.concatenate([ground.material, many(seen.material)]),
        glow=np.concatenate([ground.glow, many(seen.glow)]),
        tag=np.concatenate([ground.tag, many(seen.tag)]),
    )  # fmt: skip


def base_pass(world: World, instant: Instant, camera: Camera, seed: int) -> Base:
    """One instant drawn without light; the same for every condition."""
    still, view = prepared(world), raster.view_of(instant, camera)
    canvas, table = draw(still, instant, view)
    ids = np.ascontiguousarray(canvas.ids[:: raster.OVER, :: raster.OVER])
    depth = depth_of(ids, table, view)
    ray = ray_grid(view)
    x, y, z = (ray[k] * depth + np.float32(view.eye[k]) for k in range(3))
    material = table.material[ids]
    factors, windows = texture.textures(still, table.tag, table.normal, ids, material, depth, (x, y, z), seed)
    return Base(
        still,
        instant,
        view,
        seed,
        table,
        canvas.ids,
        ids,
        depth,
        table.cls[ids],
        material,
        x,
        y,
        z,
        (ids > 0) & (ids < GROUND_IDS),
        ray,
        np.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2),
        factors,
        windows,
    )


def depth_of(ids: NDArray[np.int32], table: Table, view: View) -> Reals:
    """(H, W) metres along the optical axis at pixel centres, never beyond the corners of the face seen; FAR_M for the sky."""
    camera = view.camera
    u, v = np.arange(camera.width_px, dtype=np.float32) + 0.5, np.arange(camera.height_px, dtype=np.float32)[:, None] + 0.5
    a, b, c = (np.ascontiguousarray(table.plane[:, k]).take(ids) for k in range(3))
    depth = 1.0 / np.maximum(a * u + b * v + c, 1.0 / FAR_M)
    nearest, farthest = (np.ascontiguousarray(table.span[:, k]).take(ids) for k in range(2))
    return np.where(ids == 0, np.float32(FAR_M), np.clip(depth, nearest, farthest)).astype(np.float32)
