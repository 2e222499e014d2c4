"""Where a generated image comes from: a record beside it, and a marking inside it that says it is synthetic.

The marking is two PNG text chunks: an XMP packet with the IPTC digital source type, which any metadata tool reads, and
our own canonical JSON. The record beside it also holds the output's hash, which the image cannot hold itself.
"""

import json
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, unescape

from flywheel import __version__
from flywheel.errors import BadData
from flywheel.generate.request import VariationRequest
from flywheel.store import Store, media_key
from flywheel.types import Record, canonical_json

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD, OWN_KEYWORD = "XML:com.adobe.xmp", "flywheel"
CODE_VERSION = f"scenario-flywheel {__version__}"
XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/">'
    "<Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType><xmp:CreatorTool>{tool}</xmp:CreatorTool>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
_SOURCE_TYPE = re.compile(r"<Iptc4xmpExt:DigitalSourceType>([^<]*)</Iptc4xmpExt:DigitalSourceType>")


class Provenance(Record):
    """What the record beside a generated image says. It holds no clock: the same work gives the same record."""

    variation_id: str
    output_sha256: str
    parents: tuple[str, ...]
    generator: str
    model_revision: str
    weights_sha256: str
    parameters: dict[str, str | int | float]
    drawn_at: dict[str, int | float]
    prompt: str
    negative_prompt: str
    seed: int
    source_condition: str
    target_condition: str
    code_version: str
    licence: str
    digitalSourceType: str


def provenance_key(sha256: str) -> str:
    """Where the record of a generated image lies: beside the image."""
    return media_key(sha256, "provenance.json")


def provenance_of(request: VariationRequest, *, output_sha256: str, drawn_at: dict[str, int | float]) -> Provenance:
    """The record of one output; `drawn_at` holds the pixel size and the scale from the parent frame."""
    return Provenance(
        variation_id=request.variation_id, output_sha256=output_sha256, parents=(request.parent_sha256,),
        generator=request.generator, model_revision=request.model_revision, weights_sha256=request.weights_sha256,
        parameters=json.loads(request.parameters), drawn_at=drawn_at, prompt=request.prompt,
        negative_prompt=request.negative_prompt, seed=request.seed, source_condition=request.source_condition,
        target_condition=request.target_condition, code_version=CODE_VERSION, licence=request.licence,
        digitalSourceType=request.digital_source_type,
    )  # fmt: skip


def put_provenance(store: Store, record: Provenance) -> str:
    """Writes the record beside its image and gives its key."""
    key = provenance_key(record.output_sha256)
    store.put_if_absent(key, canonical_json(record.model_dump(mode="json")))
    return key


def read_provenance(store: Store, sha256: str) -> Provenance:
    """The record of a generated image; KeyError if it has none."""
    return Provenance.model_validate_json(store.get(provenance_key(sha256)))


def mark_png(png: bytes, request: VariationRequest) -> bytes:
    """The PNG with its marking, placed before the pixels; equal requests and pixels give equal bytes."""
    own = {
        "variation_id": request.variation_id, "parents": [request.parent_sha256], "generator": request.generator,
        "model_revision": request.model_revision, "weights_sha256": request.weights_sha256, "seed": request.seed,
        "target_condition": request.target_condition, "code_version": CODE_VERSION, "licence": request.licence,
        "synthetic": True,
    }  # fmt: skip
    xmp = XMP.format(source_type=escape(request.digital_source_type), tool=escape(CODE_VERSION))
    texts = _text_chunk(XMP_KEYWORD, xmp) + _text_chunk(OWN_KEYWORD, canonical_json(own).decode())
    end_of_header = next(end for kind, _, end in _chunks(png) if kind == b"IHDR")
    return png[:end_of_header] + texts + png[end_of_header:]


def read_marking(png: bytes) -> dict[str, Any]:
    """The marking inside a PNG: our own fields and `digitalSourceType`; empty for an unmarked PNG, BadData for anything else."""
    found: dict[str, Any] = {}
    for kind, body, _ in _chunks(png):
        keyword, text = _parse_text(body) if kind == b"iTXt" else ("", "")
        if keyword == OWN_KEYWORD:
            found.update(json.loads(text))
        elif keyword == XMP_KEYWORD and (match := _SOURCE_TYPE.search(text)):
            found["digitalSourceType"] = unescape(match.group(1))
    return found


def _text_chunk(keyword: str, text: str) -> bytes:
    """An uncompressed iTXt chunk (PNG specification, 11.3.4.5)."""
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _parse_text(body: bytes) -> tuple[str, str]:
    keyword, _, rest = body.partition(b"\0")
    if len(rest) < 2 or rest[0] not in (0, 1):
        raise BadData("a PNG text chunk (iTXt) is cut short: the image was damaged or badly edited")
    compressed = rest[0] == 1
    text = rest[2:].split(b"\0", 2)[-1]
    return keyword.decode("latin-1"), (zlib.decompress(text) if compressed else text).decode()


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """(type, body, offset after it) of each chunk; BadData if the bytes are no whole PNG."""
    if not png.startswith(SIGNATURE):
        raise BadData("not a PNG: the signature is missing")
    at = len(SIGNATURE)
    while at < len(png):
        if at + 12 > len(png):
            raise BadData(f"the PNG is cut short at byte {at}")
        length = struct.unpack(">I", png[at : at + 4])[0]
        end = at + 12 + length
        body = png[at + 8 : end - 4]
        if end > len(png) or zlib.crc32(png[at + 4 : end - 4]) != struct.unpack(">I", png[end - 4 : end])[0]:
            raise BadData(f"the PNG is damaged at byte {at} (chunk {png[at + 4 : at + 8]!r})")
        yield png[at + 4 : at + 8], body, end
        at = end
