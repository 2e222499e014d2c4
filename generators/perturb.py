"""The classical baseline: a frame is graded, hazed, wetted or whitened by image arithmetic, with no learned part.

Distance is guessed from the image row alone: below an assumed horizon the road runs away as 1 / (row - horizon).
All arithmetic is in linear light, on (H, W, 3) float32 arrays in [0, 1].
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import require
from flywheel.generate.protocol import ENHANCED_MEDIA, GenerateInput, GeneratorInfo, Output
from flywheel.types import Condition, Lighting, Weather, sha256_hex
from generators.particles import fallen

NAME, REVISION, LICENCE = "perturb", "perturb-v1", "Apache-2.0"
HORIZON = 0.48  # share of the image's height
DISPLAY_GAMMA = 2.2
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)

Real = NDArray[np.float32]


@dataclass(frozen=True)
class Grade:
    """A lighting: gain a channel, the colour of its lit air, and how bright the sky is against the ground."""

    gain: tuple[float, float, float]
    air: tuple[float, float, float]
    sky: float


GRADES: dict[Lighting, Grade] = {
    "day": Grade(gain=(1.0, 1.0, 1.0), air=(0.52, 0.53, 0.54), sky=1.0),
    "dusk": Grade(gain=(0.36, 0.27, 0.30), air=(0.19, 0.16, 0.18), sky=0.6),
    "night": Grade(gain=(0.11, 0.11, 0.11), air=(0.014, 0.015, 0.02), sky=0.07),
    "low_sun": Grade(gain=(0.85, 0.62, 0.36), air=(0.80, 0.56, 0.26), sky=1.0),
}
# Optical depth at the reference distance of `nearness`: how much of the far scene the air hides.
THICKNESS: dict[Weather, float] = {"clear": 0.0, "fog": 1.0, "rain": 0.22, "snow": 0.35}
COVER_RGB = np.array([0.62, 0.66, 0.74], np.float32)


def to_linear(rgb: NDArray[np.uint8]) -> Real:
    """Linear light of display values."""
    return np.asarray((rgb.astype(np.float32) / 255) ** DISPLAY_GAMMA, np.float32)


def to_display(light: Real) -> NDArray[np.uint8]:
    """Display values of linear light, clipped."""
    return np.asarray(np.rint(np.clip(light, 0, 1) ** (1 / DISPLAY_GAMMA) * 255), np.uint8)


def distance(height: int) -> Real:
    """(H, 1, 1) guessed distance of each row over a reference of about 30 m, at most 3 (and 3 above the horizon)."""
    below = (np.arange(height, dtype=np.float32) + 0.5) / height - HORIZON
    return np.where(below > 0, np.minimum(0.1 / np.maximum(below, 1e-3), 3.0), 3.0).astype(np.float32)[:, None, None]


def sky_share(height: int) -> Real:
    """(H, 1, 1) how far each row is sky: 1 at the top, 0 from the horizon down."""
    rows = (np.arange(height, dtype=np.float32) + 0.5) / (height * HORIZON)
    return np.asarray(np.clip(1.4 * (1 - rows), 0, 1), np.float32)[:, None, None]


def gain_of(lighting: Lighting, height: int) -> Real:
    """(H or 1, 1, 3) gain of a lighting; at night the head lamps lift the near road."""
    gain = np.array(GRADES[lighting].gain, np.float32)[None, None]
    return gain + np.float32(0.34) * np.exp(-1.2 * distance(height)) if lighting == "night" else gain


def cleared(light: Real, source: Condition) -> Real:
    """The frame brought towards a clear day: haze taken off by the row's guessed distance, then the lighting's gain undone."""
    grade, seen = GRADES[source.lighting], np.exp(-THICKNESS[source.weather] * distance(len(light)))
    air = np.array(grade.air, np.float32)
    clear = np.maximum((light - air * (1 - seen)) / np.maximum(seen, 0.25), 0)
    return np.asarray(np.clip(clear / gain_of(source.lighting, len(light)), 0, 1.2), np.float32)


def relit(light: Real, lighting: Lighting) -> Real:
    """A clear-day frame under another lighting; the brightest spots of a night keep some glow."""
    sky = sky_share(len(light))
    graded = light * gain_of(lighting, len(light)) * (1 - sky * (1 - np.float32(GRADES[lighting].sky)))
    if lighting == "night":
        spots = np.clip((light @ LUMA - 0.75) / 0.25, 0, 1)[..., None] * (1 - sky)
        graded = graded + spots * np.array([0.30, 0.24, 0.14], np.float32)
    return np.asarray(graded, np.float32)


def hazed(light: Real, target: Condition) -> Real:
    """Air in front of the scene (Koschmieder): L t + A (1 - t) with t from the row's guessed distance."""
    seen = np.exp(-THICKNESS[target.weather] * distance(len(light)))
    return np.asarray(light * seen + np.array(GRADES[target.lighting].air, np.float32) * (1 - seen), np.float32)


def whitened(light: Real) -> Real:
    """Snow on the lower part of the frame, thinner where it is dark (wheel tracks) and where it is colourful (vehicles)."""
    luma = light @ LUMA
    chroma = light.max(-1) - light.min(-1)
    below = np.clip(((np.arange(len(light), dtype=np.float32) + 0.5) / len(light) - HORIZON) * 6, 0, 1)[:, None]
    cover = below * np.clip(0.45 + 1.2 * luma, 0, 0.9) * np.clip(1.2 - 3 * chroma, 0.1, 1)
    return np.asarray(light * (1 - cover[..., None]) + cover[..., None] * COVER_RGB, np.float32)


def wetted(light: Real) -> Real:
    """A darker, mirroring road: the lower part takes on a blurred, flipped copy of what is above the horizon."""
    cv2 = require("cv2", extra="generate")
    height = len(light)
    line = int(height * HORIZON)
    if not 0 < line < height:  # too flat for a horizon
        return light
    mirror = cv2.GaussianBlur(light[:line][::-1], (0, 0), sigmaX=1.5, sigmaY=7)
    wet = light * 0.8
    rows = min(height - line, line)
    ground = wet[line : line + rows]
    wet[line : line + rows] = 0.6 * ground + 0.25 * mirror[:rows]
    return np.asarray(wet, np.float32)


def particles(shape: tuple[int, int], *, weather: Weather, rng: np.random.Generator) -> Real:
    """(H, W, 1) opacity of rain streaks or snow flakes."""
    cv2 = require("cv2", extra="generate")
    height, width = shape
    canvas = np.zeros((height, width), np.float32)
    count = round(height * width / (520 if weather == "rain" else 380))
    for x, y, size in zip(rng.uniform(0, width, count), rng.uniform(0, height, count), rng.uniform(0.4, 1.0, count), strict=True):
        scale = height / 180
        if weather == "rain":
            end = (round(x + 1.5 * scale * size), round(y + 11 * scale * size))
            cv2.line(canvas, (round(x), round(y)), end, 0.22 * size, max(1, round(scale)), cv2.LINE_AA)
        else:
            cv2.circle(canvas, (round(x), round(y)), max(1, round(1.5 * scale * size)), 0.55 * size, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.5 * height / 180), np.float32)[..., None]


def glare(light: Real) -> Real:
    """A low sun ahead: a warm veil that falls off from a point above the horizon."""
    height, width = light.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    away = np.hypot((columns - width / 2) / height, (rows - 0.36 * height) / height)
    veil = 0.75 * np.exp(-((away / 0.09) ** 2)) + 0.5 * np.exp(-away / 0.45)
    return np.asarray(light + veil[..., None] * np.array([1.0, 0.72, 0.36], np.float32), np.float32)


def perturb(rgb: NDArray[np.uint8], *, source: Condition, target: Condition, seed: int, t_s: float = 0.0) -> NDArray[np.uint8]:
    """The frame under another condition, by arithmetic alone; equal arguments give equal bytes. `t_s` is its time in a clip."""
    rng = np.random.default_rng(seed)
    light = to_linear(rgb)
    if source != target:
        light = cleared(light, source)
        light = whitened(light) if target.weather == "snow" else light
        light = relit(light, target.lighting)
        light = wetted(light) if target.weather == "rain" else light
        light = hazed(light, target)
    if source != target and target.lighting == "low_sun":
        light = glare(light)
    if target.weather in ("rain", "snow") and source.weather != target.weather:
        drops = fallen(particles(light.shape[:2], weather=target.weather, rng=rng), target.weather, t_s)
        light = light * (1 - drops) + drops * np.maximum(np.array(GRADES[target.lighting].air, np.float32) * 1.5, 0.08)
    return to_display(light)


class PerturbGenerator:
    """Wraps `perturb`; its weights hash is the hash of this file."""

    def __init__(self) -> None:
        code = sha256_hex(Path(__file__).read_bytes())
        self.info = GeneratorInfo(
            name=NAME,
            model_revision=REVISION,
            weights_sha256=code,
            licence=LICENCE,
            parameters={"horizon": HORIZON},
            digital_source_type=ENHANCED_MEDIA,
        )

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        """One redrawn frame an item, at its own size."""
        return [
            perturb(item.rgb, source=item.source, target=item.target, seed=item.seed, t_s=item.clip.t_s if item.clip else 0.0)
            for item in batch
        ]
