"""Where a generated image comes from: a record beside it, and a marking inside it that says it is synthetic.

The marking is two PNG text chunks: an XMP packet with the IPTC digital source type, which any metadata tool reads, and
our own canonical JSON. The record beside it also holds the output's hash, which the image cannot hold itself. The signed
manifest is another matter (`seal`); all of them together are checked by `papers`.
"""

import json
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from xml.sax.saxutils import escape, unescape

from flywheel import __version__
from flywheel.generate import png
from flywheel.generate.request import VariationRequest
from flywheel.links import link_to
from flywheel.store import Store, media_key
from flywheel.types import Record, canonical_json

XMP_KEYWORD, OWN_KEYWORD = "XML:com.adobe.xmp", "flywheel"
CODE_VERSION = f"scenario-flywheel {__version__}"
# What a picture's bytes may hang on, besides the weights.
LIBRARIES = ("numpy", "opencv-python-headless", "torch", "diffusers", "transformers", "safetensors", "c2pa-python")
UNGUARDED = "none: the engine names no guardrail"
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
    drawn_at: dict[str, int | float | str]
    prompt: str
    negative_prompt: str
    seed: int
    guardrail: str
    libraries: dict[str, str]
    link: str
    source_condition: str
    target_condition: str
    code_version: str
    licence: str
    digitalSourceType: str


def provenance_key(sha256: str) -> str:
    """Where the record of a generated image lies: beside the image."""
    return media_key(sha256, "provenance.json")


def manifest_key(sha256: str) -> str:
    """Where the signed manifest of a generated image lies: beside the image."""
    return media_key(sha256, "c2pa")


def provenance_of(request: VariationRequest, *, output_sha256: str, drawn_at: dict[str, int | float | str]) -> Provenance:
    """The record of one output; `drawn_at` holds the pixel size and the scale from the parent frame."""
    return Provenance(
        variation_id=request.variation_id, output_sha256=output_sha256, parents=(request.parent_sha256,),
        generator=request.generator, model_revision=request.model_revision, weights_sha256=request.weights_sha256,
        parameters=json.loads(request.parameters), drawn_at=drawn_at, prompt=request.prompt,
        negative_prompt=request.negative_prompt, seed=request.seed, guardrail=guardrail(request), libraries=libraries(),
        link=link_of(request), source_condition=request.source_condition,
        target_condition=request.target_condition, code_version=CODE_VERSION, licence=request.licence,
        digitalSourceType=request.digital_source_type,
    )  # fmt: skip


def guardrail(request: VariationRequest) -> str:
    """Which guardrail watched over the drawing, as the engine's parameters say."""
    return str(json.loads(request.parameters).get("guardrail", UNGUARDED))


def link_of(request: VariationRequest) -> str:
    """One link back to the drive, the frame and the event a variation was made from; `links.follow` reads it."""
    return link_to(drive_id=request.drive_id, camera=request.camera, t_ns=request.t_ns, event_id=request.event_id)


@cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that drawing hangs on; one that is not installed is left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def put_provenance(store: Store, record: Provenance) -> str:
    """Writes the record beside its image and gives its key."""
    key = provenance_key(record.output_sha256)
    store.put_if_absent(key, canonical_json(record.model_dump(mode="json")))
    return key


def read_provenance(store: Store, sha256: str) -> Provenance:
    """The record of a generated image; KeyError if it has none."""
    return Provenance.model_validate_json(store.get(provenance_key(sha256)))


def own_fields(request: VariationRequest) -> dict[str, Any]:
    """What the image itself and its signed manifest say of where it comes from."""
    return {
        "variation_id": request.variation_id, "parents": [request.parent_sha256], "generator": request.generator,
        "model_revision": request.model_revision, "weights_sha256": request.weights_sha256, "seed": request.seed,
        "target_condition": request.target_condition, "code_version": CODE_VERSION, "licence": request.licence,
        "guardrail": guardrail(request), "link": link_of(request), "synthetic": True,
    }  # fmt: skip


def mark_png(image: bytes, request: VariationRequest) -> bytes:
    """The PNG with its marking, placed before the pixels; equal requests and pixels give equal bytes."""
    xmp = XMP.format(source_type=escape(request.digital_source_type), tool=escape(CODE_VERSION))
    own = canonical_json(own_fields(request)).decode()
    return png.after_header(image, png.text_chunk(XMP_KEYWORD, xmp) + png.text_chunk(OWN_KEYWORD, own))


def read_marking(image: bytes) -> dict[str, Any]:
    """The marking inside a PNG: our own fields and `digitalSourceType`; empty for an unmarked PNG, BadData for anything else."""
    texts = png.texts(image)
    found: dict[str, Any] = json.loads(texts.get(OWN_KEYWORD, "{}"))
    if match := _SOURCE_TYPE.search(texts.get(XMP_KEYWORD, "")):
        found["digitalSourceType"] = unescape(match.group(1))
    return found
