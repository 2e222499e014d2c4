"""All papers of a generated image: its record, its marking and its signed manifest. Written together, checked together.

`media/<sha256>.png` is the image with its marking, `.c2pa` its signed manifest, `.provenance.json` its record. `take_along` gives
the image with the manifest inside.
"""

from functools import lru_cache
from typing import Any

from flywheel.errors import BadData
from flywheel.generate.provenance import (
    Provenance,
    manifest_key,
    own_fields,
    provenance_of,
    put_provenance,
    read_marking,
    read_provenance,
)  # fmt: skip
from flywheel.generate.request import VariationRequest
from flywheel.generate.seal import Credentials, Sealer, credentials, sealed, sealer_for
from flywheel.generate.signing import identity_of
from flywheel.store import Store, media_key, put_media
from flywheel.types import sha256_hex


@lru_cache(maxsize=4)
def sealer(root: str) -> Sealer | None:
    """Who signs for a root, ready to sign; None where the C2PA library is not installed."""
    return sealer_for(identity_of(root))


def put_papers(store: Store, image: bytes, request: VariationRequest, *, drawn_at: dict[str, int | float | str]) -> str:
    """Stores a marked image, its manifest and its record, and gives its hash; equal images keep the manifest they have."""
    sha256 = put_media(store, image, "png")
    seal = sealer(store.uri)
    if seal is not None and not store.exists(manifest_key(sha256)):
        action = {
            "digitalSourceType": request.digital_source_type,
            "softwareAgent": {"name": request.generator, "version": request.model_revision},
            "description": f"{request.source_condition} redrawn as {request.target_condition}",
        }
        store.put_if_absent(
            manifest_key(sha256), seal.manifest(image, parent=request.parent_sha256, action=action, own=own_fields(request))
        )
    put_provenance(store, provenance_of(request, output_sha256=sha256, drawn_at=drawn_at))
    return sha256


def take_along(store: Store, sha256: str) -> bytes:
    """A stored image with its manifest inside; KeyError if either is missing."""
    return sealed(store.get(media_key(sha256, "png")), store.get(manifest_key(sha256)))


def check_papers(store: Store, sha256: str) -> list[str]:
    """What is wrong with a stored image's papers, in plain words; empty if everything holds."""
    try:
        image = store.get(media_key(sha256, "png"))
        record = read_provenance(store, sha256)
    except KeyError as err:
        return [str(err.args[0])]
    found = [] if sha256_hex(image) == sha256 else [f"the picture was changed: its hash is {sha256_hex(image)}, not {sha256}"]
    try:
        manifest = store.get(manifest_key(sha256))
    except KeyError:
        return [*found, *_marking_faults(image, record), "no C2PA manifest: it was removed, or never there"]
    try:
        held = check_image(sealed(image, manifest), root=store.uri)
    except BadData as err:
        return [*found, str(err)]
    return [*found, *_marking_faults(image, record), *([held.reason] if held.reason else []), *_claim_faults(held.claim, record)]


def check_image(image: bytes, *, root: str) -> Credentials:
    """What the manifest inside an image says and whether it holds, trusting who signs for `root`."""
    return credentials(image, anchors=identity_of(root).anchors)


def _marking_faults(image: bytes, record: Provenance) -> list[str]:
    try:
        marking = read_marking(image)
    except (BadData, ValueError) as err:
        return [f"the marking cannot be read: {err}"]
    names = ("variation_id", "digitalSourceType", "generator", "weights_sha256", "seed", "link")
    return [
        f"the marking says {name} {marking.get(name)!r}, the record {value!r}"
        for name, value in _of(record, names)
        if marking.get(name) != value
    ]


def _claim_faults(claim: dict[str, Any], record: Provenance) -> list[str]:
    names = ("variation_id", "generator", "weights_sha256", "seed", "link") if claim else ()
    return [
        f"the manifest says {name} {claim.get(name)!r}, the record {value!r}"
        for name, value in _of(record, names)
        if claim.get(name) != value
    ]


def _of(record: Provenance, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    return [(name, getattr(record, name)) for name in names]
