"""Small real videos whose every frame carries its own number in its pixels; the same bytes each time."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX, BITS, CELL_PX = 192, 112, 12, 16
ENCODERS = {"h264": "libx264", "h265": "libx265"}
X264 = {"preset": "veryfast", "threads": "1"}


def numbered(number: int, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> NDArray[np.uint8]:
    """(H, W, 3) RGB pixels: the number as a row of black and white cells over a moving ramp."""
    ramp = (np.add.outer(np.arange(height_px), np.arange(width_px)) + 3 * number) % 128 + 48
    pixels = np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)
    for bit in range(BITS):
        pixels[:CELL_PX, bit * CELL_PX : (bit + 1) * CELL_PX] = 235 if number >> bit & 1 else 16
    return pixels


def number_in(png: bytes) -> int:
    """The number that a decoded picture shows."""
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    row = pixels[CELL_PX // 2, CELL_PX // 2 : BITS * CELL_PX : CELL_PX]
    return sum(1 << bit for bit, value in enumerate(row) if value > 125)


def _options(codec: str, *, gop: int, b_frames: int, open_gop: bool) -> dict[str, str]:
    shared = f"keyint={gop}:min-keyint={gop}:bframes={b_frames}:open-gop={int(open_gop)}:scenecut=0"
    if codec == "h264":
        return X264 | {"x264-params": shared.replace("open-gop", "open_gop")}
    return {"preset": "ultrafast", "x265-params": f"{shared}:log-level=none:pools=none:frame-threads=1"}


def make_video(
    file: Path | io.BytesIO, *, codec: str = "h264", frames: int = 60, fps: int = 25, gop: int = 24, b_frames: int = 2,
    open_gop: bool = False, pts: list[int] | None = None, time_base: Fraction = Fraction(1, 1000), audio: bool = False,
    created: str | None = None, crf: int = 28,
    container: str = "mp4", muxer: dict[str, str] | None = None,
) -> list[tuple[int, bytes]]:  # fmt: skip
    """Writes a video; gives (number of the frame, packet) in decoding order. pts count in `time_base`; without them `fps` a second."""
    options = {"fflags": "+bitexact"} | (muxer or {})
    with av.open(file if isinstance(file, io.BytesIO) else str(file), "w", format=container, options=options) as out:
        if created:
            out.metadata["creation_time"] = created
        stream: Any = out.add_stream(
            ENCODERS[codec], rate=fps, options=_options(codec, gop=gop, b_frames=b_frames, open_gop=open_gop) | {"crf": str(crf)}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.codec_context.time_base = time_base
        sound: Any = out.add_stream("aac", rate=16000, layout="mono") if audio else None
        packets: list[tuple[int, bytes]] = []
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts = pts[number] if pts else round(number / fps / time_base)
            frame.time_base = time_base
            _mux(out, stream.encode(frame), packets)
        _mux(out, stream.encode(None), packets)
        if sound is not None:
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 16000 * frames // fps), np.float32), format="fltp", layout="mono")
            quiet.sample_rate, quiet.pts = 16000, 0
            for piece in (*sound.encode(quiet), *sound.encode(None)):
                out.mux(piece)
    rank = {at: number for number, at in enumerate(sorted(at for at, _ in packets))}
    return [(rank[at], data) for at, data in packets]


def _mux(out: Any, made: list[Any], packets: list[tuple[int, bytes]]) -> None:
    for packet in made:
        packets.append((packet.pts, bytes(packet)))
        out.mux(packet)


def elementary(codec: str = "h264", **shape: Any) -> list[tuple[int, bytes]]:
    """(number of the frame, Annex B packet) in decoding order."""
    return make_video(io.BytesIO(), codec=codec, container={"h264": "h264", "h265": "hevc"}[codec], **shape)
