"""Gates that look at pixels: 32 to 64 pictures of each camera, evenly spread, are decoded small, whatever the drive's length."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Finding, Picture, Severity
from flywheel.ingest.images import Look, look

Array = NDArray[np.float64]

FIRST_INTERVAL_NS = 500_000_000
MAX_LOOKS = 64
MIN_LOOKS = 6
BLACK_MEAN, BLACK_SPREAD = 2.0, 2.0
# Share of the camera's own median sharpness. On PandaSet no picture of a camera falls below 0.88 of it; blurring 1920 x 1080 by 4 pixels
# gives 0.14, by 2 pixels 0.47. A camera is blurred throughout below SHARP_MIN: PandaSet's have 0.12 to 0.37, and 0.003 to 0.008 if
# blurred by 8 pixels.
BLUR_SHARE, SHARP_MIN = 0.25, 0.01
# A cell of the thumbnail that keeps within so many grey levels is constant; the rest must move that much more. Bright constant cells down
# from the upper edge are left out: an overcast sky is constant too (28 % of PandaSet's front_left).
CONSTANT_LEVELS, MOVING_LEVELS, BLOCKED_SHARE = 6, 12, 0.15
FROZEN_LEVELS, MOVING_MPS = 0.2, 1.0


class Seen(NamedTuple):
    """A look at one picture."""

    t_ns: int
    look: Look


@dataclass
class Camera:
    """The looks at one camera; when there are too many, every other one is dropped and the next ones come half as often."""

    interval_ns: int = FIRST_INTERVAL_NS
    next_t_ns: int = 0
    seen: list[Seen] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    first_broken: bool = False

    def see(self, picture: Picture) -> None:
        """Looks at a picture if its turn has come."""
        tried = len(self.seen) + len(self.broken)
        if tried and picture.t_ns < self.next_t_ns:
            return
        self.next_t_ns = picture.t_ns + self.interval_ns
        try:
            self.seen.append(Seen(picture.t_ns, look(picture.data)))
        except BadData as err:
            self.first_broken = self.first_broken or not tried
            self.broken = [*self.broken, f"at {picture.t_ns} ns: {err}"][:MAX_LOOKS]
        if len(self.seen) > MAX_LOOKS:
            self.seen, self.interval_ns = self.seen[::2], 2 * self.interval_ns
            self.next_t_ns = self.seen[-1].t_ns + self.interval_ns


@dataclass
class Pictures:
    """What was seen of each camera."""

    cameras: dict[str, Camera] = field(default_factory=dict)

    def see(self, picture: Picture) -> None:
        """Looks at a picture if its camera's turn has come."""
        self.cameras.setdefault(picture.camera, Camera()).see(picture)

    def moments(self) -> list[int]:
        """The times of all looks, sorted: where the ego's speed is asked for."""
        return sorted({seen.t_ns for camera in self.cameras.values() for seen in camera.seen})

    def findings(self, speed_mps: Mapping[int, float] | None = None) -> list[Finding]:
        """Everything noticed; `speed_mps` gives the ego's speed at the looks' times where it is known."""
        speeds = speed_mps or {}
        return [found for name, camera in sorted(self.cameras.items()) for found in judge_camera(name, camera, speeds)]


def judge_camera(name: str, camera: Camera, speed_mps: Mapping[int, float]) -> list[Finding]:
    """The findings of one camera."""
    found = []
    if camera.broken:
        text = f"{name}: {len(camera.broken)} of the pictures looked at cannot be decoded, the first {camera.broken[0]}"
        found.append(_finding("undecodable", text, severity="error" if camera.first_broken else "warning"))
    bright = [seen for seen in camera.seen if not is_black(seen.look)]
    if dark := len(camera.seen) - len(bright):
        first = next(seen.t_ns for seen in camera.seen if is_black(seen.look))
        found.append(_finding("black", f"{name}: {dark} of {len(camera.seen)} pictures looked at are black, the first at {first} ns"))
    return found + blurred(name, bright) + blocked(name, bright) + frozen(name, bright, speed_mps)


def is_black(seen: Look) -> bool:
    """Whether a picture shows nothing at all."""
    return seen.mean < BLACK_MEAN and seen.spread < BLACK_SPREAD


def blurred(name: str, looks: Sequence[Seen]) -> list[Finding]:
    """Pictures far less sharp than the camera usually is, or a camera that never is sharp."""
    if len(looks) < MIN_LOOKS:
        return []
    sharpness = np.array([seen.look.sharpness for seen in looks])
    usual = float(np.median(sharpness))
    if usual < SHARP_MIN:
        return [_finding("blur", f"{name}: blurred throughout: sharpness {usual:.4f}, a camera in focus has {SHARP_MIN:g} or more")]
    soft = np.flatnonzero(sharpness < BLUR_SHARE * usual)
    if not len(soft):
        return []
    first = looks[int(soft[0])]
    text = f"{name}: {len(soft)} of {len(looks)} pictures looked at are blurred, the first at {first.t_ns} ns: sharpness"
    return [_finding("blur", f"{text} {first.look.sharpness:.3f}, usually {usual:.3f}")]


def blocked(name: str, looks: Sequence[Seen]) -> list[Finding]:
    """A large part of the picture that stays as it is while the rest changes: dirt, ice or a cover on the lens."""
    if len(looks) < MIN_LOOKS:
        return []
    thumbs = np.stack([seen.look.thumb for seen in looks]).astype(np.int16)
    changes = thumbs.max(axis=0) - thumbs.min(axis=0)
    constant, levels = changes <= CONSTANT_LEVELS, thumbs.mean(axis=0)
    sky = np.logical_and.accumulate(constant & (levels > levels.mean()), axis=0)
    share, moving = float((constant & ~sky).mean()), changes[~constant]
    if share < BLOCKED_SHARE or not moving.size or float(np.median(moving)) < MOVING_LEVELS:
        return []
    return [_finding("blocked", f"{name}: {share:.0%} of the picture never changes in {len(looks)} pictures: is the lens covered?")]


def frozen(name: str, looks: Sequence[Seen], speed_mps: Mapping[int, float]) -> list[Finding]:
    """Pictures that show the same as the one before while the ego moves (encoded anew, or their bytes would be equal)."""
    still = [
        after
        for before, after in itertools.pairwise(looks)
        if min(abs(speed_mps.get(before.t_ns, 0.0)), abs(speed_mps.get(after.t_ns, 0.0))) > MOVING_MPS
        and float(np.abs(before.look.thumb.astype(np.int16) - after.look.thumb).mean()) < FROZEN_LEVELS
    ]
    if len(still) < 2:
        return []
    text = f"{name}: {len(still)} of {len(looks)} pictures looked at show the same as the one before while the ego moves"
    return [_finding("frozen", f"{text}, the first at {still[0].t_ns} ns")]


def _finding(gate: str, message: str, *, severity: Severity = "warning") -> Finding:
    return Finding(severity=severity, gate=gate, message=message)
