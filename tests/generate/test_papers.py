"""The papers of a generated image: record, marking and signed manifest; what was tampered with is found and named."""

import io
import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from generate_drives import BATCH, Darkening, png, scene

from flywheel.errors import BadData, MissingExtra
from flywheel.generate import papers, seal
from flywheel.generate import png as png_file
from flywheel.generate.papers import check_image, check_papers, put_papers, take_along
from flywheel.generate.plan import plan_batch
from flywheel.generate.provenance import OWN_KEYWORD, manifest_key, mark_png, provenance_key, read_provenance
from flywheel.generate.request import VariationRequest
from flywheel.generate.signing import CHAIN, KEY, algorithm, identity_of, self_made
from flywheel.links import follow
from flywheel.store import Store, media_key


@pytest.fixture(autouse=True)
def fresh_sealer() -> None:
    papers.sealer.cache_clear()


@pytest.fixture
def requests(store: Store) -> tuple[VariationRequest, ...]:
    return plan_batch(store, BATCH, generator=Darkening().info, budget=2).requests


def _put(store: Store, request: VariationRequest, *, shift: int = 0) -> str:
    return put_papers(store, mark_png(png(scene(shift=shift)), request), request, drawn_at={"width_px": 160})


def test_papers_hold_and_the_image_keeps_its_hash(store: Store, requests: tuple[VariationRequest, ...]) -> None:
    sha256 = _put(store, requests[0])
    assert check_papers(store, sha256) == []
    out = take_along(store, sha256)
    held = check_image(out, root=store.uri)
    assert held.state == "valid" and "self-made" in held.issuer
    assert held.claim["variation_id"] == requests[0].variation_id and held.claim["parents"] == [requests[0].parent_sha256]
    assert png_file.without(out, png_file.C2PA)[0] == store.get(media_key(sha256, "png")), "the manifest is outside the content hash"
    again = _put(store, requests[0])
    assert again == sha256 and take_along(store, sha256) == out, "drawn again, the image keeps the manifest it has"


def test_any_c2pa_tool_reads_the_manifest(store: Store, requests: tuple[VariationRequest, ...]) -> None:
    c2pa = pytest.importorskip("c2pa")
    found = c2pa.Reader("image/png", io.BytesIO(take_along(store, _put(store, requests[0])))).get_active_manifest()
    actions = next(item["data"]["actions"] for item in found["assertions"] if item["label"] == "c2pa.actions.v2")
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"] == requests[0].digital_source_type
    assert found["ingredients"][0]["instance_id"] == f"sha256:{requests[0].parent_sha256}"


def test_the_record_says_what_it_hangs_on(store: Store, requests: tuple[VariationRequest, ...]) -> None:
    record = read_provenance(store, _put(store, requests[0]))
    assert record.guardrail.startswith("none") and {"numpy", "torch", "diffusers"} <= record.libraries.keys()
    origin = follow(record.link)
    assert origin == (requests[0].drive_id, requests[0].camera, requests[0].t_ns, requests[0].event_id)
    for wrong in ("", "flywheel:drive", "http://x/y/1", "flywheel:drive/front/soon"):
        with pytest.raises(BadData):
            follow(wrong)


def _one_pixel_changed(image: bytes) -> bytes:
    """The same chunks around other pixels."""
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    pixels[40, 40] ^= 1
    fresh = cv2.imencode(".png", pixels)[1].tobytes()
    extra = [c for c in png_file.chunks(image) if c.kind in (png_file.TEXT, png_file.C2PA)]
    return png_file.after_header(fresh, b"".join(png_file.chunk(c.kind, c.body) for c in extra))


def test_a_changed_pixel_is_found(store: Store, requests: tuple[VariationRequest, ...]) -> None:
    sha256 = _put(store, requests[0])
    held = check_image(_one_pixel_changed(take_along(store, sha256)), root=store.uri)
    assert held.state == "changed" and "changed after it was signed" in held.reason
    key = media_key(sha256, "png")
    spoiled = _one_pixel_changed(store.get(key))
    store.delete(key)
    store.put(key, spoiled)
    assert any("its hash is" in fault for fault in check_papers(store, sha256))
    assert any("changed after it was signed" in fault for fault in check_papers(store, sha256))


def test_a_removed_or_foreign_manifest_is_found(store: Store, requests: tuple[VariationRequest, ...]) -> None:
    sha256, other = _put(store, requests[0]), _put(store, requests[1], shift=5)
    image = store.get(media_key(sha256, "png"))
    assert check_image(image, root=store.uri).state == "missing"
    foreign = check_image(seal.sealed(image, store.get(manifest_key(other))), root=store.uri)
    assert foreign.state == "foreign" and requests[1].variation_id in foreign.reason
    store.delete(manifest_key(sha256))
    assert check_papers(store, sha256) == ["no C2PA manifest: it was removed, or never there"]
    store.delete(provenance_key(sha256))
    (fault,) = check_papers(store, sha256)
    assert provenance_key(sha256) in fault


def test_another_signer_and_an_altered_manifest_are_found(
    store: Store, requests: tuple[VariationRequest, ...], tmp_path: Path
) -> None:  # fmt: skip
    out = take_along(store, _put(store, requests[0]))
    assert seal.credentials(out, anchors=self_made(tmp_path / "else").anchors).state == "untrusted"
    bare, (manifest,) = png_file.without(out, png_file.C2PA)
    at = manifest.index(b"weights_sha256") + 20
    altered = manifest[:at] + bytes([manifest[at] ^ 1]) + manifest[at + 1 :]
    held = check_image(seal.sealed(bare, altered), root=store.uri)
    assert held.state == "broken" and "altered" in held.reason
    assert check_image(seal.sealed(bare, b"no manifest"), root=store.uri).state == "broken"


def test_a_marking_that_does_not_fit_the_record_is_found(store: Store, requests: tuple[VariationRequest, ...]) -> None:
    sha256 = _put(store, requests[0])
    image = store.get(media_key(sha256, "png"))
    stripped = png_file.without(image, png_file.TEXT)[0]
    store.delete(media_key(sha256, "png"))
    store.put(media_key(sha256, "png"), stripped)
    faults = check_papers(store, sha256)
    assert any("the marking says digitalSourceType None" in fault for fault in faults)
    assert OWN_KEYWORD not in png_file.texts(stripped)


def test_the_users_own_key_signs(
    store: Store, requests: tuple[VariationRequest, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = self_made(tmp_path / "own")
    chain = tmp_path / "mine.pem"
    chain.write_text(own.chain)
    monkeypatch.setenv(KEY, own.key_file)
    with pytest.raises(BadData, match=CHAIN):
        identity_of(store.uri)
    monkeypatch.setenv(CHAIN, str(chain))
    out = take_along(store, _put(store, requests[0]))
    assert check_image(out, root=store.uri).state == "valid"
    monkeypatch.delenv(KEY)
    monkeypatch.delenv(CHAIN)
    assert check_image(out, root=store.uri).state == "untrusted"


def test_the_self_made_key_is_private_and_made_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(self_made, [tmp_path / "c2pa"] * 4))
    assert len({identity.chain for identity in found}) == 1
    assert stat.S_IMODE(Path(found[0].key_file).stat().st_mode) == 0o600
    assert algorithm(found[0].key()) == "ed25519" and found[0].chain.count("BEGIN CERTIFICATE") == 2
    with pytest.raises(BadData, match="unencrypted PEM"):
        algorithm("no key")


def test_without_the_library_images_are_unsigned_and_say_so(
    store: Store, requests: tuple[VariationRequest, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    def absent(module: str, *, extra: str) -> None:
        raise MissingExtra(f"{module} is not installed")

    monkeypatch.setattr(seal, "require", absent)
    with caplog.at_level(logging.WARNING):
        sha256 = _put(store, requests[0])
    assert "no C2PA manifest" in caplog.text
    monkeypatch.undo()
    assert check_papers(store, sha256) == ["no C2PA manifest: it was removed, or never there"]
