"""Image formation: light on the base pass, then weather between scene and lens, then the sensor."""

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import faces as f
from flywheel.fleet import lighting, noise
from flywheel.fleet.faces import Bytes, Reals, hashed
from flywheel.fleet.lighting import Light
from flywheel.fleet.surface import Base
from flywheel.fleet.texture import material_mask
from flywheel.types import Condition

# Extinction per metre; the distance at which 5% contrast is left (Koschmieder) is 3 / beta.
EXTINCTION = {"clear": 0.0009, "fog": 0.042, "rain": 0.0075, "snow": 0.013}
LOW_SUN_EXTINCTION = 0.0032
BLOOM = {"clear": (0.30, 0.16), "fog": (0.45, 0.55), "rain": (0.42, 0.30), "snow": (0.40, 0.32)}
SNOW_RGB = np.array([0.80, 0.83, 0.88], np.float32)


def develop(base: Base, condition: Condition, albedo: Reals, sky_share: Reals) -> Bytes:
    """The picture (H, W, 3) uint8 of a base pass under a condition."""
    light, sun = lighting.light_of(condition), lighting.sun_direction(base, condition)
    skin = surfaces(base, condition, albedo)
    glow = lighting.glow(base, light)
    heaven = lighting.sky(base, light, condition, sun, sky_share)
    image = skin * illumination(base, condition, light, sun) + glow + sky_share * heaven
    if condition.weather == "rain":
        image = wet(base, image)
    image = haze(base, condition, light, image, sky_share)
    image = veil(base, condition, light, image, glow, sun, sky_share)
    return sensor(base, condition, particles(base, condition, light, image), light)


def illumination(base: Base, condition: Condition, light: Light, sun: NDArray[np.float64]) -> Reals:
    """All light that falls on each pixel's surface (H, W, 3)."""
    import cv2

    falls = lighting.irradiance(base, light, sun, snowy=condition.weather == "snow")
    sunny = max(light.sun) > 0
    contact, cast = lighting.shadows(base, sun, cast=sunny)
    if sunny:
        direct = np.array(light.sun, np.float32) * np.float32(max(sun[2], 0.0))
        share = direct / (np.array(light.above, np.float32) + direct)
        falls *= 1 - (cast * base.ground)[..., None] * share
    falls *= (1 - np.float32(0.72) * contact * base.ground)[..., None]
    if light.lamps:
        local = np.dstack([lighting.lamp_pools(base), lighting.beams(base)])
        mix = np.stack([lighting.LAMP_RGB * np.float32(0.62 * light.lamps), lighting.HEAD_RGB * np.float32(light.beams)], axis=1)
        falls += cv2.transform(local, mix)
    return falls


def surfaces(base: Base, condition: Condition, albedo: Reals) -> Reals:
    """Reflectance after the weather has touched it: wet ground is darker, snow lies on what looks up."""
    if condition.weather == "rain":
        ground = material_mask(base.material, f.ASPHALT, f.PAINT, f.PAVING, f.GRASS) | (base.cls == f.SIDEWALK)
        return albedo * np.where(ground, np.float32(0.5), np.float32(0.85))[..., None]
    if condition.weather != "snow":
        return albedo
    cover = snow_cover(base)[..., None]
    return np.asarray(albedo * (1 - cover) + cover * SNOW_RGB, np.float32)


def snow_cover(base: Base) -> Reals:
    """Share of each pixel under snow (H, W): deep beside the road, patchy on it and thin in the wheel tracks, some on leaves."""
    drift = noise.at(base.x_m, base.y_m, cell_m=0.22, kind=7, sigma=4.0, seed=base.seed)
    lies = np.array([0.0, 0.42, 0.40, 0.93, 0.95, 0.0, 0.30, 0.05, 0.0, 0.9], np.float32)[base.material]
    lies = np.where(base.cls == f.SIDEWALK, np.float32(0.92), lies)
    lies = lies - (base.ids_px == 5) * np.float32(0.17)
    top = np.clip(base.table.normal[:, 2], 0, 1)[base.ids_px]
    lies = np.where((base.cls == f.VEHICLE) | (base.cls == f.POLE), top * 0.65, lies)
    lies = np.where(base.material == f.GLASS, np.float32(0.0), lies)
    amount = material_mask(base.material, f.ASPHALT, f.PAINT) * np.float32(0.24) + np.float32(0.04)
    return np.asarray(np.clip(lies + drift * amount * (lies > 0), 0, 0.97), np.float32)


def wet(base: Base, image: Reals) -> Reals:
    """Rain water on the ground mirrors what stands behind it: each column is folded at the foot of the nearest thing above.

    The mirrored share follows Schlick's approximation of Fresnel reflection at water (F0 = 0.02, raised to 0.05 for the film's roughness).
    """
    import cv2

    h, w = base.view.shape
    flat = material_mask(base.material, f.ASPHALT, f.PAINT, f.PAVING) | (base.cls == f.SIDEWALK)
    top = int(np.flatnonzero(flat.any(axis=1)).min(initial=h))
    if top == h:
        return image
    rows = np.arange(h, dtype=np.int32)[:, None]
    foot: NDArray[np.int32] = np.maximum.accumulate(np.where(flat | (base.material == f.GRASS), -1, rows), axis=0)[top:]
    source = np.clip(2 * foot - rows[top:] + 1, 0, h - 1) * w + np.arange(w, dtype=np.int32)
    mirrored = image.reshape(-1, 3).take(source, axis=0)
    depth = np.clip((rows[top:] - foot) / np.float32(40), 0, 1)[..., None]
    smeared = cv2.blur(mirrored, (3, 9)) * (1 - depth) + cv2.blur(mirrored, (5, 41)) * depth
    slant = np.abs(base.ray[2, top:]) / base.reach[top:]
    fresnel = 0.05 + 0.95 * (1 - slant) ** 5
    puddles = np.clip(0.85 + 0.35 * noise.at(base.x_m[top:], base.y_m[top:], cell_m=0.3, kind=8, sigma=4.0, seed=base.seed), 0.3, 1.3)
    share = (flat[top:] * np.clip(fresnel * puddles * 1.1, 0, 0.85))[..., None]
    image[top:] += (smeared - image[top:]) * share
    return image


def haze(base: Base, condition: Condition, light: Light, image: Reals, sky_share: Reals) -> Reals:
    """Koschmieder: image * exp(-beta d) + airlight * (1 - exp(-beta d))."""
    beta = LOW_SUN_EXTINCTION if condition.lighting == "low_sun" else EXTINCTION[condition.weather]
    through = np.exp(base.depth_m * np.float32(-beta))[..., None]
    if condition.weather != "fog":
        through = np.maximum(through, sky_share) if condition.weather == "clear" else np.maximum(through, sky_share * 0.6)
    air = np.array(light.horizon, np.float32) * np.float32(0.9 if condition.weather == "clear" else 1.0)
    if condition.weather == "fog" and light.beams:
        air = air + lit_air(base, light)
    return np.asarray(image * through + air * (1 - through), np.float32)


def lit_air(base: Base, light: Light) -> Reals:
    """Light that fog scatters back from lamps and beams (H, W, 3): a pale dome ahead, brightest low in the middle."""
    h, w = base.view.shape
    across, down = np.arange(w, dtype=np.float32) / w - 0.5, np.arange(h, dtype=np.float32)[:, None] / h - 0.62
    dome = np.exp(-((across / 0.34) ** 2) - (down / 0.22) ** 2)
    return np.asarray(dome[..., None] * np.array([0.10, 0.095, 0.085], np.float32) * light.beams, np.float32)


def veil(base: Base, condition: Condition, light: Light, image: Reals, glow: Reals, sun: NDArray[np.float64], sky_share: Reals) -> Reals:
    """Bloom around lights, and the glare of a low sun over the whole picture."""
    import cv2

    h, w = base.view.shape
    near, wide = BLOOM[condition.weather]
    through = np.exp(base.depth_m * np.float32(-0.35 * EXTINCTION[condition.weather]))[..., None]
    bright = glow * through
    if condition.lighting == "low_sun":
        bright = bright + np.maximum(image - 2.5, 0) * 0.6
    small = cv2.resize(bright, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
    halo = cv2.GaussianBlur(small, (0, 0), 1.3) * near + cv2.GaussianBlur(small, (0, 0), 6.0) * wide
    image = image + cv2.resize(halo, (w, h), interpolation=cv2.INTER_LINEAR)
    if condition.lighting == "low_sun":
        apart = lighting.apart_from(base.ray / base.reach, sun)[..., None]
        image = image + (0.7 * np.exp(-apart / 0.10) + 0.19 * np.exp(-apart / 0.42)) * np.array([1.5, 0.95, 0.45], np.float32)
    return np.asarray(image, np.float32)


def dice(base: Base, stream: int) -> np.random.Generator:
    """Random numbers of this seed and this time only."""
    t_ns = base.instant.t_ns
    return np.random.default_rng([hashed(base.seed, stream), t_ns & 0xFFFFFFFF, (t_ns >> 32) & 0xFFFFFFFF])


def particles(base: Base, condition: Condition, light: Light, image: Reals) -> Reals:
    """Rain streaks or snowflakes over the picture, lit by the sky and, at night, by the beams."""
    if condition.weather not in ("rain", "snow"):
        return image
    fall, stream = (streaks, 91) if condition.weather == "rain" else (flakes, 92)
    mask = fall(base.view.shape, dice(base, stream))
    colour = np.array(light.horizon, np.float32) * 1.1 + np.float32(0.16 * light.beams + 0.02)
    return np.asarray(image + mask[..., None] * np.maximum(colour - image * 0.6, 0), np.float32)


def streaks(shape: tuple[int, int], rng: np.random.Generator) -> Reals:
    """Opacity (H, W) of about a hundred drops, blurred by their fall during the exposure."""
    import cv2

    h, w = shape
    mask = np.zeros((h, w), np.uint8)
    for x, y, size, bright in rng.random((110, 4)).tolist():
        u, v, length = x * w, y * h * 1.1 - 10, 5 + 16 * size**2
        lean = (x - 0.5) * 0.30 * length
        ends = np.rint(np.array([u, v, u + lean, v + length]) * 16).astype(int).tolist()
        cv2.line(mask, (ends[0], ends[1]), (ends[2], ends[3]), int(50 + 80 * bright), 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (3, 5), 0), np.float32) * np.float32(0.75 / 255)


def flakes(shape: tuple[int, int], rng: np.random.Generator) -> Reals:
    """Opacity (H, W) of flakes, few near and large, many far and small."""
    import cv2

    h, w = shape
    mask = np.zeros((h, w), np.uint8)
    for x, y, size, bright in rng.random((150, 4)).tolist():
        radius = 0.5 + 1.7 * size**5
        centre = (int(x * w * 16), int(y * h * 16))
        cv2.circle(mask, centre, int(radius * 16), int(90 + 130 * bright), -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (3, 3), 0), np.float32) * np.float32(0.9 / 255)


def sensor(base: Base, condition: Condition, image: Reals, light: Light) -> Bytes:
    """Exposure, a soft shoulder, colour, and a little noise that is stronger in the dark: (H, W, 3) uint8."""
    import cv2

    keep = {"clear": 1.12, "fog": 0.9, "rain": 0.82, "snow": 0.9}[condition.weather]
    mix = np.eye(3, dtype=np.float32) * np.float32(keep) + np.float32((1 - keep) / 3)
    shown = cv2.transform(1 - cv2.exp(image * np.float32(-light.exposure)), mix)
    shown = cv2.sqrt(np.maximum(shown, 0))
    top, left = (int(n) for n in dice(base, 93).integers(0, 200, 2))
    h, w = base.view.shape
    grain = _grain(h + 200, w + 200, 1.7 if condition.lighting == "night" else 0.9)[top : top + h, left : left + w]
    return np.asarray(np.clip(shown * np.float32(255) + grain, 0, 255).astype(np.uint8))


_GRAINS: dict[tuple[int, int, float], Reals] = {}


def _grain(height: int, width: int, rough: float) -> Reals:
    """Noise of the sensor in grey levels, with the half that turns cutting into rounding."""
    key = (height, width, rough)
    if key not in _GRAINS:
        made = np.random.default_rng(5).standard_normal((height, width, 3)).astype(np.float32)
        _GRAINS[key] = (made * np.float32(0.45) + made.mean(axis=2, keepdims=True)) * np.float32(rough) + np.float32(0.5)
    return _GRAINS[key]
