"""What the UI shows for a materialization: counts, schemas, pictures. Metadata is the report."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.store import Store, media_key
from flywheel.tables import SCHEMAS, list_parts

Metadata = dict[str, Any]


def column_schema(name: str) -> dg.TableSchema:
    """A flywheel table's schema as the UI draws it."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(field.name, str(field.type), constraints=dg.TableColumnConstraints(nullable=field.nullable))
            for field in SCHEMAS[name]
        ]
    )


def table_spec(name: str, description: str, **spec: Any) -> dg.AssetSpec:
    """The asset that stands for one of our tables; its key is the table's name in lower case."""
    metadata = {"dagster/column_schema": column_schema(name), "table": f"tables/{name}"}
    return dg.AssetSpec(name.lower(), description=description, metadata=metadata, kinds={"parquet", *spec.pop("kinds", ())}, **spec)


def table_metadata(store: Store, name: str, *, batch_id: str, rows: int) -> Metadata:
    """Row count, parts and place of a table's batch."""
    return {
        "dagster/row_count": rows,
        "parts": len(list_parts(store, name, batch_id=batch_id)),
        "dagster/uri": f"{store.uri}/tables/{name}/batch={batch_id}",
    }


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a table in the UI."""
    if not rows:
        return dg.MetadataValue.md("_none_")
    head = list(rows[0])
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(_cell(row[column]) for column in head) for row in rows]
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/")


def picture(png_or_jpeg: bytes, *, mime: str = "image/png") -> dg.MarkdownMetadataValue:
    """An image shown inside the metadata panel."""
    return dg.MetadataValue.md(f"![picture](data:{mime};base64,{base64.b64encode(png_or_jpeg).decode()})")


def image_grid(
    store: Store, media: Sequence[tuple[str, str] | bytes], *, columns: int = 4, width_px: int = 200
) -> dg.MarkdownMetadataValue:
    """A contact sheet of media, (sha256, ext) in the store or encoded images, as one small JPEG."""
    from PIL import Image

    tiles = []
    for item in media:
        image = Image.open(io.BytesIO(item if isinstance(item, bytes) else store.get(media_key(*item)))).convert("RGB")
        tiles.append(np.asarray(image.resize((width_px, round(image.height * width_px / image.width)))))
    if not tiles:
        return dg.MetadataValue.md("_no images_")
    sink = io.BytesIO()
    Image.fromarray(_sheet(tiles, columns)).save(sink, "JPEG", quality=80)
    return picture(sink.getvalue(), mime="image/jpeg")


def _sheet(tiles: list[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    height, width = max(tile.shape[0] for tile in tiles), tiles[0].shape[1]
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + tile.shape[0], left : left + width] = tile
    return sheet


def as_rows(table: pa.Table, columns: Sequence[str], *, limit: int = 20) -> list[dict[str, Any]]:
    """The first rows of some columns, for a table in the UI."""
    return list(table.select(list(columns)).slice(0, limit).to_pylist())
