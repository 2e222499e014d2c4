"""Cameras: black, blurred, blocked and frozen ones are found; good ones, real ones too, are not accused."""

import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flywheel.ingest.drive import Finding, Picture
from flywheel.ingest.images import look
from flywheel.ingest.pictures import BLUR_SHARE, MAX_LOOKS, SHARP_MIN, Pictures

Image = NDArray[np.uint8]
Change = Callable[[int, Image], Image]
HALF_S = 500_000_000


@functools.cache
def world(height: int) -> Image:
    """A long textured wall with fine detail everywhere."""
    rng = np.random.default_rng(7)
    coarse = cv2.resize(rng.integers(30, 220, (12, 50), np.uint8), (50 * 32, height), interpolation=cv2.INTER_CUBIC)
    fine = rng.integers(0, 50, (height, coarse.shape[1]), np.uint8)
    return np.clip(coarse.astype(int) + fine - 25, 0, 255).astype(np.uint8)


def scene(k: int, *, width: int = 640, height: int = 360) -> Image:
    """What a camera that moves along the wall sees: other content in every picture."""
    return world(height)[:, 40 * k : 40 * k + width]


def jpeg(image: Image) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


def findings(change: Change | None = None, *, count: int = 16, speed_mps: float | None = 8.0) -> list[Finding]:
    seen = Pictures()
    for k in range(count):
        image = scene(k)
        seen.see(Picture("front", k * HALF_S, jpeg(change(k, image) if change else image)))
    return seen.findings({} if speed_mps is None else dict.fromkeys(seen.moments(), speed_mps))


def blur(image: Image, sigma_px: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


def patch(image: Image, level: int, *, share: float) -> Image:
    spoiled = image.copy()
    spoiled[60:300, : int(image.shape[1] * share * 1.5)] = level
    return spoiled


def gates(found: list[Finding]) -> list[str]:
    return [f.gate for f in found]


def test_a_good_camera_is_not_accused() -> None:
    assert findings() == []
    assert findings(speed_mps=None) == []
    assert findings(count=3) == [], "too few pictures say nothing"


def test_black_pictures_are_counted_in_one_finding() -> None:
    found = findings(lambda k, image: image * 0 if k in (4, 5) else image)
    assert gates(found) == ["black"]
    assert "2 of 16" in found[0].message
    assert f"{4 * HALF_S} ns" in found[0].message


def test_blurred_pictures_and_a_camera_out_of_focus_are_found() -> None:
    found = findings(lambda k, image: blur(image, 3) if k >= 12 else image)
    assert gates(found) == ["blur"]
    assert "4 of 16" in found[0].message
    assert str(12 * HALF_S) in found[0].message
    whole = findings(lambda _, image: blur(image, 8))
    assert gates(whole) == ["blur"]
    assert "throughout" in whole[0].message


def test_darkness_and_fog_are_not_blur() -> None:
    assert findings(lambda k, image: (image // 4).astype(np.uint8) if k >= 8 else image) == []
    assert findings(lambda k, image: (image // 3 + 150).astype(np.uint8) if k >= 8 else image) == []


@pytest.mark.parametrize("level", [0, 90, 180])
def test_a_covered_part_of_the_lens_is_found(level: int) -> None:
    found = findings(lambda _, image: patch(image, level, share=0.3))
    assert gates(found) == ["blocked"]
    assert findings(lambda _, image: patch(image, level, share=0.08)) == []


def test_sky_and_a_standing_car_are_not_a_covered_lens() -> None:
    def sky(_: int, image: Image) -> Image:
        image = image.copy()
        image[:200] = 235
        return image

    assert findings(sky) == []
    assert "blocked" not in gates(findings(lambda _, image: scene(0), speed_mps=0.0))


def test_pictures_that_stay_the_same_while_the_ego_moves_are_frozen() -> None:
    found = findings(lambda k, image: scene(5) if 5 <= k < 12 else image)
    assert gates(found) == ["frozen"]
    assert "6 of 16" in found[0].message
    assert findings(lambda k, image: scene(5) if 5 <= k < 12 else image, speed_mps=0.0) == []


def test_a_picture_that_cannot_be_decoded_is_an_error_only_if_it_is_the_first() -> None:
    for broken, severity in ((0, "error"), (5, "warning")):
        seen = Pictures()
        for k in range(8):
            data = jpeg(scene(k))
            seen.see(Picture("front", k * HALF_S, data[:300] if k == broken else data))
        assert [(f.gate, f.severity) for f in seen.findings()] == [("undecodable", severity)]


def test_a_long_drive_is_looked_at_no_more_often_than_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    small, seen, decoded = jpeg(scene(0, width=64, height=36)), Pictures(), []
    monkeypatch.setattr("flywheel.ingest.pictures.look", lambda data: (decoded.append(1), look(data))[1])
    for k in range(36_000):  # an hour at 10 Hz
        seen.see(Picture("front", k * 100_000_000, small))
    camera = seen.cameras["front"]
    gaps = np.diff([s.t_ns for s in camera.seen])
    print(f"{len(decoded)} of 36,000 pictures decoded, {len(camera.seen)} kept, {gaps[0] / 1e9:.0f} s apart")
    assert len(camera.seen) <= MAX_LOOKS
    assert len(decoded) < 400
    assert set(gaps.tolist()) == {int(gaps[0])}, "evenly spread"


def pandaset(real_data: Path, camera: str) -> list[Image]:
    files = sorted((real_data / "pandaset_002").rglob(f"camera/{camera}/*.jpg"))[::5]
    return [np.asarray(cv2.imread(str(file)), np.uint8) for file in files]


@pytest.mark.parametrize("camera", ["front_camera", "front_left_camera", "front_right_camera"])
def test_the_thresholds_part_real_pictures_from_spoiled_ones(real_data: Path, camera: str) -> None:
    images = pandaset(real_data, camera)
    sharpness = np.array([look(jpeg(image)).sharpness for image in images])
    usual = float(np.median(sharpness))
    print(f"{camera}: sharpness {usual:.3f}, the least {sharpness.min() / usual:.2f} of it", end="")
    for sigma_px in (2, 4, 8):
        soft = float(np.median([look(jpeg(blur(image, sigma_px))).sharpness for image in images[::6]]))
        print(f"; blurred by {sigma_px} px {soft / usual:.3f} ({soft:.4f})", end="")
        assert (soft < BLUR_SHARE * usual) == (sigma_px >= 4)
        assert (soft < SHARP_MIN) == (sigma_px >= 8)
    print()
    assert sharpness.min() > 2 * BLUR_SHARE * usual > 2 * SHARP_MIN
    for change, expected in ((None, []), (lambda image: patch3(image), ["blocked"])):
        seen = Pictures()
        for k, image in enumerate(images):
            seen.see(Picture(camera, k * HALF_S, jpeg(change(image) if change else image)))
        assert gates(seen.findings(dict.fromkeys(seen.moments(), 3.0))) == expected


def patch3(image: Image) -> Image:
    """A dark smear over the left half."""
    spoiled = image.copy()
    spoiled[200:1000, : image.shape[1] // 2] = 40
    return spoiled
