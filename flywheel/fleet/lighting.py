"""Light on the base pass: sun and sky, shadows, lamps and headlights, and whatever shines by itself. Linear radiance."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import faces as f
from flywheel.fleet import noise, raster
from flywheel.fleet.faces import Reals, unit
from flywheel.fleet.scenery import foot_prints
from flywheel.fleet.surface import Base
from flywheel.types import Condition

RGB = tuple[float, float, float]
SUN_AZIMUTH_RAD, SUN_ELEVATION_RAD, LOW_SUN_ELEVATION_RAD = 0.9, 0.85, 0.085
GLOW_MAX = 8.0
HEAD_RGB, LAMP_RGB = np.array([1.0, 0.96, 0.86], np.float32), np.array([1.0, 0.74, 0.42], np.float32)


@dataclass(frozen=True)
class Light:
    """One lighting. Colours are linear RGB; glow lists the gains of no glow, headlight, tail, brake, lamp, signal."""

    sun: RGB
    above: RGB
    below: RGB
    zenith: RGB
    horizon: RGB
    glow: tuple[float, float, float, float, float, float]
    windows: float
    lamps: float
    beams: float
    exposure: float


LIGHTS: dict[str, Light] = {
    "day": Light(
        sun=(2.5, 2.35, 2.05), above=(0.62, 0.72, 0.92), below=(0.30, 0.30, 0.28), zenith=(0.20, 0.42, 0.95), horizon=(0.78, 0.92, 1.12),
        glow=(0, 0.35, 0.0, 1.8, 0, 2.2), windows=0.0, lamps=0.0, beams=0.0, exposure=1.25,
    ),
    "dusk": Light(
        sun=(0, 0, 0), above=(0.34, 0.31, 0.42), below=(0.14, 0.11, 0.12), zenith=(0.10, 0.13, 0.33), horizon=(1.05, 0.50, 0.30),
        glow=(0, 3.2, 0.5, 3.2, 3.5, 2.4), windows=0.75, lamps=0.35, beams=0.28, exposure=1.25,
    ),
    "night": Light(
        sun=(0, 0, 0), above=(0.016, 0.020, 0.034), below=(0.008, 0.009, 0.014),
        zenith=(0.004, 0.006, 0.016), horizon=(0.024, 0.023, 0.033),
        glow=(0, 6.5, 0.45, 3.6, 6.0, 2.6), windows=0.42, lamps=0.6, beams=0.9, exposure=1.3,
    ),
    "low_sun": Light(
        sun=(2.1, 1.25, 0.55), above=(0.40, 0.36, 0.38), below=(0.22, 0.17, 0.13), zenith=(0.42, 0.42, 0.52), horizon=(1.9, 1.15, 0.55),
        glow=(0, 0.5, 0.0, 1.8, 0, 2.0), windows=0.0, lamps=0.0, beams=0.0, exposure=1.2,
    ),
}  # fmt: skip
OVERCAST: dict[str, tuple[RGB, RGB, RGB]] = {  # above, zenith, horizon under a closed sky, per unit of the lighting's brightness
    "fog": ((1.05, 1.08, 1.12), (0.62, 0.64, 0.66), (0.62, 0.64, 0.66)),
    "rain": ((0.80, 0.86, 0.94), (0.36, 0.39, 0.44), (0.58, 0.61, 0.66)),
    "snow": ((1.05, 1.10, 1.18), (0.66, 0.69, 0.74), (0.78, 0.80, 0.84)),
}  # fmt: skip
CLOSED_SKY = {"day": (1.0, 1.0, 1.0), "dusk": (0.36, 0.29, 0.33), "night": (0.022, 0.024, 0.032), "low_sun": (1.0, 1.0, 1.0)}


def light_of(condition: Condition) -> Light:
    """The light of a condition: under fog, rain or snow the sky is closed and the sun gone, and cars drive with lights on."""
    light = LIGHTS[condition.lighting]
    if condition.weather == "clear":
        return light
    share = np.array(CLOSED_SKY[condition.lighting])
    above, zenith, horizon = (tuple(float(c) for c in np.array(colour) * share) for colour in OVERCAST[condition.weather])
    none, head, tail, *rest = light.glow
    return Light((0, 0, 0), above, tuple(0.4 * c for c in above), zenith, horizon, (none, max(head, 2.2), max(tail, 0.4), *rest),  # type: ignore[arg-type]
                 light.windows or 0.12, light.lamps, light.beams, light.exposure)  # fmt: skip


def sun_direction(base: Base, condition: Condition) -> NDArray[np.float64]:
    """Unit vector to the sun: fixed in the world by day; a low sun is always drawn ahead of the camera, its hardest place."""
    if condition.lighting == "low_sun":
        azimuth = base.instant.ego_heading_rad + 0.05 + 0.14 * unit(base.seed, 77)
        elevation = LOW_SUN_ELEVATION_RAD
    else:
        azimuth, elevation = SUN_AZIMUTH_RAD, SUN_ELEVATION_RAD
    return np.array([math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)])


def spread(base: Base, rows: Reals) -> Reals:
    """An (N, C<=4) table of values in 0..1, drawn through the ids at double resolution and averaged: (H, W, 4), squared back.

    Values are kept as square roots in bytes, so edges come out smooth and dark values keep their precision.
    """
    import cv2

    coded = np.zeros((len(rows), 4), np.uint8)
    coded[:, : rows.shape[1]] = np.rint(np.sqrt(np.clip(rows, 0, 1)) * 255)
    packed = coded.view(np.uint32)[:, 0].take(base.ids)
    h, w = base.view.shape
    small = cv2.resize(packed.view(np.uint8).reshape(*base.ids.shape, 4), (w, h), interpolation=cv2.INTER_AREA)
    return np.asarray(np.square(small.astype(np.float32) * np.float32(1 / 255)), np.float32)


def albedo(base: Base) -> tuple[Reals, Reals]:
    """Reflectance (H, W, 3) with texture, and the share of sky in each pixel (H, W, 1)."""
    rows = np.concatenate([base.table.colour**2, (base.table.material[:, None] > 99).astype(np.float32)], axis=1)
    rows[0, 3] = 1.0
    image = spread(base, rows)
    return image[..., :3] * base.texture, image[..., 3:]


def irradiance(base: Base, light: Light, sun: NDArray[np.float64], *, snowy: bool) -> Reals:
    """Sun and sky light on every face (H, W, 3), without shadows on the ground."""
    normal = np.where(
        (base.table.material == f.LEAF)[:, None], base.table.normal * 0.75 + np.array([0, 0, 0.6], np.float32), base.table.normal
    )
    up = np.clip(normal[:, 2:] * 0.5 + 0.5, 0, 1)
    rows = up * np.array(light.above) + (1 - up) * np.array(light.below)
    rows = rows + np.clip(normal @ sun, 0, 1)[:, None] * np.array(light.sun)
    rows = rows + sheen(base, light, snowy=snowy)
    top = max(float(rows.max()), 1e-3)
    return spread(base, (rows / top).astype(np.float32))[..., :3] * np.float32(top)


def sheen(base: Base, light: Light, *, snowy: bool) -> Reals:
    """(N, 3) what glass and bare car paint mirror of the sky, as light on a surface of their own colour (which is divided out)."""
    share = np.array([0, 0, 0, 0, 0, 0, 0, 0.11, 0.0 if snowy else 0.035, 0], np.float32)[base.table.material]
    tilt = 0.35 + 0.65 * np.clip(base.table.normal[:, 2] * 1.5 + 0.3, 0, 1)
    mirrored = 0.5 * np.array(light.horizon, np.float32) + 0.5 * np.array(light.above, np.float32)
    return np.asarray((share * tilt)[:, None] * mirrored / np.maximum(base.table.colour**2, 0.012), np.float32)


def shadows(base: Base, sun: NDArray[np.float64], *, cast: bool) -> tuple[Reals, Reals]:
    """Contact darkness and cast shadow on the ground, both (H, W) in 0..1: 1 is full shadow."""
    h, w = base.view.shape
    contact, far = np.zeros((h * 2, w * 2), np.uint8), np.zeros((h * 2, w * 2), np.uint8)
    slide = -sun[:2] / max(float(sun[2]), 0.05)
    actors = base.instant.actors
    feet = foot_prints([(a.x_m, a.y_m, a.heading_rad, a.length_m, a.width_m) for a in actors])
    _fill(contact, [_widen(corners, 1.12) for corners in feet[_close(feet, base)]], base)
    if cast:
        feet = np.concatenate([feet, base.scenery.feet])
        tops = np.concatenate([np.array([a.height_m for a in actors], np.float32), base.scenery.tops_m])
        _fill(far, [_swept(feet[k], slide, float(tops[k])) for k in np.flatnonzero(_close(feet, base))], base)
    return _soften(contact, (w, h), 2.2), _soften(far, (w, h), 0.8)


def _close(feet: Reals, base: Base) -> NDArray[np.bool_]:
    """Which footprints may throw a shadow into the picture."""
    offset = feet.mean(axis=1) - base.view.eye[:2].astype(np.float32)
    ahead = offset @ base.view.turn[:2, 2].astype(np.float32)
    return np.asarray((ahead > -30) & (ahead < 90) & (np.linalg.norm(offset, axis=1) < 100))


def _swept(corners: Reals, slide: NDArray[np.float64], height: float) -> Reals:
    """The (8, 2) outline of a footprint's shadow: the hull of the foot and the shifted top, at most 22 m long."""
    import cv2

    reach = slide * min(height, 40.0)
    reach *= min(1.0, 22.0 / max(float(np.hypot(*reach)), 1e-6))
    hull = cv2.convexHull(np.concatenate([corners, corners + reach]).astype(np.float32))[:, 0]
    return np.concatenate([hull, np.repeat(hull[-1:], 8 - len(hull), axis=0)]).astype(np.float32)


def _widen(corners: Reals, by: float) -> Reals:
    middle = corners.mean(axis=0)
    return np.asarray((corners - middle) * np.float32(by) + middle, np.float32)


def _fill(mask: NDArray[np.uint8], shapes: list[Reals], base: Base) -> None:
    import cv2

    if shapes:
        flat = np.array(shapes, np.float32)
        lifted = np.concatenate([flat, np.zeros((*flat.shape[:2], 1), np.float32)], axis=2)
        for shape in raster.outlines(lifted, base.view)[0]:
            if shape is not None:
                cv2.fillConvexPoly(mask, shape, 255, shift=raster.SHIFT)


def _soften(mask: NDArray[np.uint8], size: tuple[int, int], sigma: float) -> Reals:
    import cv2

    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), sigma), np.float32) * np.float32(1 / 255)


def beams(base: Base) -> Reals:
    """The ego's low beam on everything (H, W): two broad lobes on the road, and a cut-off above which little is lit."""
    instant = base.instant
    c, s = math.cos(instant.ego_heading_rad), math.sin(instant.ego_heading_rad)
    dx, dy = base.x_m - np.float32(instant.ego_x_m), base.y_m - np.float32(instant.ego_y_m)
    ahead, left = np.maximum(c * dx + s * dy - 3.5, 0.1), c * dy - s * dx
    across = np.exp(-((left / (0.36 * ahead + 1.3)) ** 2)) * 0.75 + np.exp(-((left / (0.8 * ahead + 2.0)) ** 2)) * 0.25
    road = np.minimum(ahead / 5.0, 1.0) * np.exp(-ahead / 17.0) * 2.3
    towards = np.clip(-(base.table.normal[:, 0] * c + base.table.normal[:, 1] * s), 0, 1)[base.ids_px]
    below = 1 / (1 + np.exp(np.clip((base.z_m - 0.85 - 0.005 * ahead) * 3.5, -30, 30)))
    wall = towards * (below + 0.07) * 2.2 / (1 + (ahead / 22.0) ** 2)
    return np.asarray(across * np.where(base.ground, road, wall + 0.04 * road), np.float32)


def lamp_pools(base: Base) -> Reals:
    """Light of the nearest street lamps on everything (H, W), worked out at half resolution."""
    import cv2

    lamps, (h, w) = base.scenery.lamps, base.view.shape
    x, y, z = base.x_m[::2, ::2], base.y_m[::2, ::2], base.z_m[::2, ::2]
    total = np.zeros(x.shape, np.float32)
    offset = lamps - base.view.eye.astype(np.float32)
    ahead = offset[:, :2] @ base.view.turn[:2, 2].astype(np.float32)
    order = [k for k in np.argsort(np.abs(ahead), kind="stable") if -15 < ahead[k] < 90 and abs(float(np.hypot(*offset[k, :2]))) < 100][:10]
    for k in order:
        rise = np.maximum(lamps[k, 2] - z, 0.0)
        reach = (x - lamps[k, 0]) ** 2 + (y - lamps[k, 1]) ** 2 + rise * rise + 4.0
        total += rise * lamps[k, 2] ** 2 / (reach * np.sqrt(reach))
    return np.asarray(cv2.resize(total, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def glow(base: Base, light: Light) -> Reals:
    """Radiance of lamps, lights, lenses and lit rooms (H, W, 3)."""
    gain = np.array(light.glow, np.float32)[base.table.glow]
    image = spread(base, base.table.colour**2 * (gain / GLOW_MAX)[:, None])[..., :3] * np.float32(GLOW_MAX)
    if light.windows:
        lit = base.windows > 0
        image[lit] += (base.windows[lit] * np.float32(light.windows))[:, None] * np.array([1.0, 0.72, 0.38], np.float32)
    return np.asarray(image, np.float32)


def sky(base: Base, light: Light, condition: Condition, sun: NDArray[np.float64], sky_share: Reals) -> Reals:
    """Sky radiance (H, W, 3), zero below the last row that shows any: gradient, clouds, far hills, a low sun's disc."""
    rows = int(np.flatnonzero(sky_share.any(axis=(1, 2))).max(initial=-1)) + 1
    whole = np.zeros((*base.view.shape, 3), np.float32)
    if rows:
        whole[:rows] = _heaven(base.ray[:, :rows] / base.reach[:rows], base.seed, light, condition, sun)
    return whole


def _heaven(ray: Reals, seed: int, light: Light, condition: Condition, sun: NDArray[np.float64]) -> Reals:
    """Sky radiance (R, W, 3) in unit directions (3, R, W)."""
    rise = np.clip(ray[2], 0, 1)
    share = np.exp(rise * np.float32(-1 / 0.16))[..., None]
    horizon, above = np.array(light.horizon, np.float32), np.array(light.above, np.float32)
    image = share * horizon + (1 - share) * np.array(light.zenith, np.float32)
    if condition.weather == "clear":
        image = _clouded(image, ray, rise, share, horizon * np.float32(0.55) + above * np.float32(0.75), seed)
    if condition.lighting == "low_sun":
        apart = apart_from(ray, sun)[..., None]
        image = image + np.exp(-((apart / 0.030) ** 4)) * np.array([14.0, 11.0, 7.0], np.float32)
    return np.asarray(_skyline(image, ray, 0.62 * horizon + 0.10 * above * np.array([0.4, 0.7, 0.5], np.float32), seed), np.float32)


def apart_from(ray: Reals, sun: NDArray[np.float64]) -> Reals:
    """Angle (R, W) in radians between unit directions (3, R, W) and the sun."""
    x, y, z = (np.float32(c) for c in sun)
    return np.asarray(np.arccos(np.clip(ray[0] * x + ray[1] * y + ray[2] * z, -1, 1)), np.float32)


def _clouded(image: Reals, ray: Reals, rise: Reals, share: Reals, tint: Reals, seed: int) -> Reals:
    """Clouds on a flat layer above the place."""
    layer = 1 / (rise + np.float32(0.12))
    puffs = noise.at(ray[0] * layer, ray[1] * layer, cell_m=0.035, kind=5, sigma=7.0, seed=seed)
    cloud = np.clip(puffs * 0.45 - 0.05, 0, 0.75)[..., None] * (1 - share * 0.55)
    return np.asarray(image * (1 - cloud) + cloud * tint, np.float32)


def _skyline(image: Reals, ray: Reals, shade: Reals, seed: int) -> Reals:
    """Far hills just above the horizon."""
    hills = noise.at(np.arctan2(ray[1], ray[0]), np.zeros_like(ray[2]), cell_m=0.012, kind=6, sigma=4.0, seed=seed)
    behind = np.clip((0.030 + 0.010 * hills - ray[2]) * 320, 0, 1)[..., None]
    return np.asarray(image * (1 - behind) + behind * shade, np.float32)
