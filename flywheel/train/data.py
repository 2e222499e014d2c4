"""Published samples for training: frames as arrays and coarse grids of what stands where.

Map-style, so `torch.utils.data.DataLoader` takes it as it is; torch itself is not needed to read a dataset.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flywheel.datasets import Manifest, open_dataset, parse_manifest, read_images, read_manifest, read_rows
from flywheel.errors import BadData, require
from flywheel.store import Store, open_store

WIDTH, HEIGHT = 320, 180
COLUMNS, GRID_ROWS = 20, 12
CLASSES: dict[str, tuple[str, ...]] = {"vehicle": ("car", "truck", "bus"), "vru": ("pedestrian", "cyclist")}
COVERED = 0.3
CACHED_IMAGES = 2000


class FlywheelDataset:
    """One split of a dataset version, from a root (`store` or its uri, with `ref`) or from a pulled folder.

    Items are dicts: `image` uint8 (3, 180, 320) RGB, `target` float32 (2, 12, 20) for CLASSES, `index` int. Only labelled samples
    are items, each image once. Lance is opened where it is read, so spawned workers are safe (never fork with Lance open).
    `real_only` defaults to True for every split but train.
    """

    def __init__(self, source: Store | str | Path, ref: str | None = None, *, split: str = "train", real_only: bool | None = None) -> None:
        self.source = source if isinstance(source, str | Path) else source.uri
        self.manifest, table = self._load(ref)
        self.split, self.real_only = split, split != "train" if real_only is None else real_only
        self.rows = _items(table, split=split, real_only=self.real_only)
        self._cache: dict[int, NDArray[np.uint8]] = {}

    @property
    def _folder(self) -> Path | None:
        folder = Path(self.source)
        return folder if (folder / "manifest.json").is_file() else None

    def _load(self, ref: str | None) -> tuple[Manifest, list[dict[str, Any]]]:
        if self._folder is not None:
            manifest = parse_manifest((self._folder / "manifest.json").read_bytes(), where=str(self._folder))
            return manifest, pq.read_table(self._folder / "samples.parquet").to_pylist()
        if ref is None:
            raise BadData(f"{self.source} is no pulled dataset: name one of the root's datasets, for example rare-driving@v1")
        manifest = read_manifest(open_store(self.source), ref)
        return manifest, read_rows(open_dataset(open_store(self.source), manifest)).to_pylist()

    @cached_property
    def _dataset(self) -> Any:
        return open_dataset(open_store(self.source), self.manifest)

    def __getstate__(self) -> dict[str, Any]:
        return {**{key: value for key, value in self.__dict__.items() if key != "_dataset"}, "_cache": {}}

    def __len__(self) -> int:
        return len(self.rows)

    def encoded(self, index: int) -> bytes:
        """A sample's image as stored."""
        row = self.rows[index]
        if self._folder is not None:
            return (self._folder / "images" / f"{row['media_sha256']}.{row['ext']}").read_bytes()
        return read_images(self._dataset, [row["position"]])[0]

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index not in self._cache:
            image = decode(self.encoded(index))
            if len(self._cache) >= CACHED_IMAGES:
                return {"image": image, "target": grid(self.rows[index]), "index": index}
            self._cache[index] = image
        return {"image": self._cache[index], "target": grid(self.rows[index]), "index": index}


def _items(rows: Sequence[dict[str, Any]], *, split: str, real_only: bool) -> list[dict[str, Any]]:
    """Labelled rows of a split in the order of their ids; a frame that stands under several scenarios is one item."""
    found: dict[str, dict[str, Any]] = {}
    for position, row in sorted(enumerate(rows), key=lambda item: str(item[1]["sample_id"])):
        if row["split"] != split or row["labels"] is None or (real_only and row["synthetic"]):
            continue
        item = found.setdefault(row["media_sha256"], {**row, "position": position, "scenarios": []})
        item["scenarios"].append(row["scenario"])
    return list(found.values())


def decode(data: bytes) -> NDArray[np.uint8]:
    """(3, 180, 320) uint8 RGB of encoded bytes; BadData if they are no image."""
    cv2 = require("cv2", extra="train")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BadData(f"image cannot be decoded ({len(data)} bytes)")
    if image.shape[:2] != (HEIGHT, WIDTH):
        image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1))


def box_cells(label: Mapping[str, Any], row: Mapping[str, Any]) -> NDArray[np.bool_]:
    """(12, 20) cells of a box: those it covers by 30% or more, and the one under its centre."""
    across = np.array([label["x0_px"], label["x1_px"]]) / row["width_px"] * COLUMNS
    down = np.array([label["y0_px"], label["y1_px"]]) / row["height_px"] * GRID_ROWS
    cells = np.outer(_overlap(down, GRID_ROWS), _overlap(across, COLUMNS)) >= COVERED
    cells[min(int(down.mean()), GRID_ROWS - 1), min(int(across.mean()), COLUMNS - 1)] = True
    return cells


def _overlap(span: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    edges = np.arange(count)
    return np.asarray(np.clip(np.minimum(span[1], edges + 1) - np.maximum(span[0], edges), 0, 1), np.float64)


def grid(row: Mapping[str, Any]) -> NDArray[np.float32]:
    """(2, 12, 20) of 0 and 1: where a vehicle, and where a vulnerable road user, stands in the image."""
    target = np.zeros((len(CLASSES), GRID_ROWS, COLUMNS), np.float32)
    for label in row["labels"]:
        for channel, members in enumerate(CLASSES.values()):
            if label["cls"] in members:
                target[channel][box_cells(label, row)] = 1.0
    return target
