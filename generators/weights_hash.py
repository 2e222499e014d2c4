"""One hash over a folder's safetensors files: which weights made an output."""

import hashlib
from pathlib import Path

from flywheel.errors import BadData


def weights_sha256(folder: Path) -> str:
    """SHA-256 (hex) over the relative names and bytes of all safetensors files below a folder, in name order.

    BadData if there is none: weights in other formats (pickles) are never loaded.
    """
    files = sorted(folder.rglob("*.safetensors"), key=lambda file: file.relative_to(folder).as_posix())
    if not files:
        raise BadData(f"{folder} holds no .safetensors file; save the pipeline with save_pretrained(safe_serialization=True)")
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        with file.open("rb") as data:  # read piece by piece: a shard may hold ten gigabytes
            found.update(hashlib.file_digest(data, "sha256").digest())
    return found.hexdigest()
