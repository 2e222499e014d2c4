"""Reads a TUF repository from a folder, for vehicles updated from a disk and for tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from flywheel.errors import BadTransport, require


def file_fetcher(place: str) -> tuple[str, Any]:
    """(base url, TUF fetcher) of a folder given as a path or a file:// url; BadTransport if it is not there."""
    folder = Path(unquote(urlparse(place).path)) if place.startswith("file://") else Path(place).expanduser()
    if not folder.is_dir():
        raise BadTransport(f"update not possible: no folder {folder}, and no http:// or https:// address")
    ngclient, errors = require("tuf.ngclient", extra="vehicle"), require("tuf.api.exceptions", extra="vehicle")

    class FileFetcher(ngclient.FetcherInterface):  # type: ignore[misc, name-defined]
        """Gives the bytes of file:// urls; a missing file is a 404, as on a server."""

        def _fetch(self, url: str) -> Iterator[bytes]:
            file = Path(unquote(urlparse(url).path))
            if not file.is_file():
                raise errors.DownloadHTTPError(f"no file {file}", 404)
            return iter([file.read_bytes()])

    return folder.resolve().as_uri(), FileFetcher()
