"""C2PA manifests (Content Credentials) for generated media: signed, kept beside the media, put inside on demand, checked.

The library salts its assertions, so two signatures of the same bytes differ. The content hash is therefore that of the media
without the manifest; the manifest lies beside it as `<sha256>.c2pa`, and `sealed` puts it inside, byte for byte as it was signed.
"""

import io
import json
import logging
import threading
import uuid
from typing import Any, Literal

from pydantic import Field

from flywheel.errors import BadData, MissingExtra, require
from flywheel.generate import png
from flywheel.generate.signing import Identity, algorithm
from flywheel.types import Frozen, digest_of

log = logging.getLogger(__name__)
OWN = "org.scenario-flywheel.variation"
State = Literal["valid", "missing", "changed", "foreign", "untrusted", "broken"]
MISMATCH, UNTRUSTED = "assertion.dataHash.mismatch", "signingCredential.untrusted"
MIME = {"png": "image/png"}


class Credentials(Frozen):
    """What the manifest inside a picture says and whether it holds; `reason` is empty for a valid one."""

    state: State
    reason: str = ""
    issuer: str = ""
    claim: dict[str, Any] = Field(default_factory=dict)


class Sealer:
    """Signs PNG images for one identity; safe in threads. The signing needs the package c2pa-python (extra `generate`)."""

    def __init__(self, identity: Identity) -> None:
        self._c2pa = require("c2pa", extra="generate")
        self._identity, self._held = identity, threading.local()
        self.algorithm = algorithm(identity.key())

    def manifest(self, image: bytes, *, parent: str, action: dict[str, Any], own: dict[str, Any]) -> bytes:
        """The signed manifest store of a PNG that has none. `parent` is its parent's SHA-256, `own` our fields (a JSON object)."""
        definition = _definition(parent=parent, action=action, own=own)
        builder, out = self._c2pa.Builder(definition, self._context()), io.BytesIO()
        builder.sign(MIME["png"], io.BytesIO(image), out)
        bare, held = png.without(out.getvalue(), png.C2PA)
        if bare != image or len(held) != 1:
            raise BadData("the C2PA library changed more of the PNG than its own chunk; the image is left unsigned")
        return held[0]

    def _context(self) -> Any:
        """This thread's context: the library's own is not made for several threads at once."""
        if not hasattr(self._held, "context"):
            info = self._c2pa.C2paSignerInfo(self.algorithm, self._identity.chain.encode(), self._identity.key().encode(), None)
            self._held.context = self._c2pa.Context(
                settings=self._c2pa.Settings.from_dict(_settings(self._identity.anchors)), signer=self._c2pa.Signer.from_info(info)
            )
        return self._held.context


def sealer_for(identity: Identity) -> Sealer | None:
    """A sealer, or None with a warning where the C2PA library is not installed: such media have no manifest, and reading says so."""
    try:
        return Sealer(identity)
    except MissingExtra as err:
        log.warning("generated media get no C2PA manifest (the IPTC marking stays): %s", err)
        return None


def sealed(image: bytes, manifest: bytes) -> bytes:
    """The PNG with its manifest inside, as any C2PA tool reads it; BadData if there is one already."""
    if any(found.kind == png.C2PA for found in png.chunks(image)):
        raise BadData("the PNG has a C2PA manifest inside already")
    return png.after_header(image, png.chunk(png.C2PA, manifest))


def credentials(image: bytes, *, anchors: str) -> Credentials:
    """What the manifest inside a PNG says and whether it holds; `anchors` are the certificates (PEM) that are trusted."""
    c2pa = require("c2pa", extra="generate")
    bare, held = png.without(image, png.C2PA)
    if not held:
        return Credentials(state="missing", reason="no C2PA manifest: it was removed, or never there")
    try:
        reader = c2pa.Reader(MIME["png"], io.BytesIO(image), context=c2pa.Context(settings=c2pa.Settings.from_dict(_settings(anchors))))
        active, results = reader.get_active_manifest(), reader.get_validation_results()
    except c2pa.C2paError as err:
        return Credentials(state="broken", reason=f"the C2PA manifest cannot be read: {err}")
    claim: dict[str, Any] = next((item["data"] for item in active["assertions"] if item["label"] == OWN), {})
    issuer = str(active.get("signature_info", {}).get("issuer", ""))
    state, reason = _judged(
        {item["code"]: item.get("explanation", "") for item in results["activeManifest"]["failure"]}, claim, _marked(bare)
    )
    return Credentials(state=state, reason=f"{reason} (signed by {issuer})" if reason else "", issuer=issuer, claim=claim)


def _judged(failures: dict[str, str], claim: dict[str, Any], marked: str) -> tuple[State, str]:
    """(state, reason) of validation failures; `marked` is the variation that the picture itself says it is."""
    said = str(claim.get("variation_id", ""))
    other = [code for code in failures if code not in (MISMATCH, UNTRUSTED)]
    if other:
        return "broken", f"the C2PA manifest itself was altered: {other[0]}, {failures[other[0]]}"
    if marked != said:
        return (
            "foreign",
            f"the C2PA manifest is another picture's: it speaks of {said or 'no variation'}, the picture is {marked or 'unmarked'}",
        )
    if MISMATCH in failures:
        return "changed", "the picture was changed after it was signed"
    if UNTRUSTED in failures:
        return "untrusted", "the C2PA manifest was signed by nobody we trust"
    return "valid", ""


def _marked(image: bytes) -> str:
    held = png.texts(image).get("flywheel")
    return str(json.loads(held).get("variation_id", "")) if held else ""


def _settings(anchors: str) -> dict[str, Any]:
    """Settings of the library: trust these alone, never ask the network, no thumbnails, and do not check again what was just signed."""
    return {
        "version": 1,
        "trust": {"trust_anchors": anchors},
        "verify": {"verify_trust": True, "verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},
    }


def _definition(*, parent: str, action: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A manifest: the parent was opened, then edited as `action` says. Its label follows from what is claimed."""
    label = f"urn:c2pa:{uuid.UUID(digest_of(own)[:32], version=4)}"
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}
    return {
        "claim_version": 2,
        "label": label,
        "instance_id": f"xmp:iid:{label.rpartition(':')[2]}",
        "title": str(own.get("variation_id", "")),
        "claim_generator_info": [{"name": "scenario-flywheel", "version": str(own.get("code_version", "")).rpartition(" ")[2] or "0"}],
        "ingredients": [
            {"label": "parent", "title": parent, "format": "image/jpeg", "relationship": "parentOf", "instance_id": f"sha256:{parent}"}
        ],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [opened, {"action": "c2pa.edited", **action}]}},
            {"label": OWN, "data": own},
        ],
    }
