"""Rigs and schedules on disk: formats, round trips and everything that can be wrong with a hand-written file."""

import json

import numpy as np
import pytest

from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.io.documents import read_rig, read_schedule, rig_to_document, write_rig, write_schedule
from olatkit.rig import LightRig, default_rig
from olatkit.schedule import default_114, multiplexed_114, schedule_to_document


def write(path, text):
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def rig_document(**changes):
    lights = [{"id": n, "pos": p} for n, p in enumerate([[0, 0, 1.3], [1.3, 0, 0], [0, 1.3, 0]])]
    return {"version": 1, "units": "m", "axes": "x-right,y-up,z-to-camera", "lights": lights, **changes}


# ---------------------------------------------------------------- round trips

@pytest.mark.parametrize("distant", [False, True])
def test_rig_round_trip(tmp_path, distant):
    rng = np.random.default_rng(0)
    base = default_rig(40)
    rig = LightRig(
        "worn", base.directions, None if distant else base.positions * rng.uniform(0.95, 1.05, (40, 1)),
        rng.uniform(0.5, 2, (40, 3)), rng.random(40) > 0.2,
    )
    write_rig(tmp_path / "rig.json", rig)
    again = read_rig(tmp_path / "rig.json")
    assert again.name == "worn"
    np.testing.assert_allclose(again.directions, rig.directions, atol=1e-15)
    np.testing.assert_array_equal(again.gains, rig.gains)
    np.testing.assert_array_equal(again.enabled, rig.enabled)
    if distant:
        assert again.positions is None
    else:
        np.testing.assert_array_equal(again.positions, rig.positions)


def test_writing_a_rig_twice_gives_the_same_bytes(tmp_path):
    write_rig(tmp_path / "a.json", default_rig())
    write_rig(tmp_path / "b.json", read_rig(tmp_path / "a.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("schedule", [default_114(), multiplexed_114(drive=0.075)], ids=["olat", "mix"])
def test_schedule_round_trip(tmp_path, schedule):
    write_schedule(tmp_path / "schedule.json", schedule)
    assert read_schedule(tmp_path / "schedule.json") == schedule


def test_existing_documents_are_kept(tmp_path):
    path = write(tmp_path / "rig.json", "mine")
    with pytest.raises(OutputExistsError, match=r"rig\.json: already exists"):
        write_rig(path, default_rig(3))
    with pytest.raises(OutputExistsError, match=r"rig\.json: already exists"):
        write_schedule(path, default_114())
    assert path.read_text() == "mine"
    write_rig(path, default_rig(3), overwrite=True)
    assert len(read_rig(path)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["rig.json"]


def test_rig_without_a_name_is_called_like_its_file(tmp_path):
    """By its name alone: a take must not hold folders of the machine it was made on."""
    document = rig_to_document(default_rig(8))
    del document["name"]
    assert read_rig(write(tmp_path / "mine.json", document)).name == "mine.json"


def test_schedule_without_a_name_is_called_like_its_file(tmp_path):
    document = schedule_to_document(default_114())
    del document["name"]
    assert read_schedule(write(tmp_path / "mine.json", document)).name == "mine.json"


def test_unknown_keys_are_ignored(tmp_path):
    document = rig_document(camera={"K": []}, note="spare bulbs in the drawer")
    document["lights"][0]["bulb"] = "new"
    assert len(read_rig(write(tmp_path / "rig.json", document))) == 3
    schedule = {**schedule_to_document(default_114()), "camera": "Phantom", "note": "x"}
    schedule["frames"][0]["remark"] = "all on"
    assert read_schedule(write(tmp_path / "s.json", schedule)) == default_114()


# ---------------------------------------------------------------- JSON rigs

def test_ids_may_come_in_any_order(tmp_path):
    document = rig_document()
    document["lights"].reverse()
    rig = read_rig(write(tmp_path / "rig.json", document))
    np.testing.assert_allclose(rig.directions, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])


def lights(*positions, ids=None):
    return [{"id": i, "pos": p} for i, p in zip(ids or range(len(positions)), positions, strict=True)]


@pytest.mark.parametrize("change, message", [
    ({"version": 2}, "rig version 2, expected 1"),
    ({"units": "cm"}, "units 'cm', expected 'm'"),
    ({"axes": "z-up"}, "axes 'z-up'"),
    ({"lights": []}, "key 'lights' holds no list"),
    ({"lights": {"0": 1}}, "key 'lights' holds no list"),
    ({"lights": [3]}, "light entry 3"),
    ({"lights": [{"id": 0}]}, "light entry .*: key 'pos' is missing; expected 'id' and 'pos'"),
    ({"lights": [{"id": 0, "pos": ["a", 0, 1]}]}, "light entry .*could not convert"),
    ({"lights": [{"id": 0, "pos": None}]}, "light entry"),
    ({"lights": lights([0, 0, 1], [1, 0, 0], ids=[4, 4])}, "light id 4 appears 2 times"),
    ({"lights": lights([0, 0, 1], [1, 0, 0], ids=[0, 2])}, r"ids run from 0 to 2 and \[1\] are missing"),
    ({"lights": lights([0, 0, 1], [1, 0])}, r"light 1 has position \[1\.0, 0\.0\]"),
    ({"lights": lights([0, 0, 1], [0, 0, 0])}, "light 1 has position .* away from the origin"),
    ({"lights": lights([0, 0, 1], [0, float("nan"), 1])}, "light 1 has position .*nan.* finite"),
    ({"lights": lights([0, 0, 1], [0, 0, float("inf")])}, "light 1 has position .* finite"),
    ({"lights": lights([0, 0, 1], [1, 0, 0], [0, 0, 1])}, "lights 0 and 2 have the same direction"),
    ({"lights": lights([0, 0, 1], [1, 0, 0], [0, 0, 2])}, "lights 0 and 2 have the same direction"),
    ({"lights": [{"id": 0, "pos": [0, 0, 1], "gain": [1, 1]}]}, "light 0 has .* gain .* expected 3 numbers"),
    ({"lights": [{"id": 0, "pos": [0, 0, 1], "gain": [0, 1, 1]}]}, "gain of light 0"),
    ({"lights": [{"id": 0, "pos": [0, 0, 1], "gain": 2}]}, "light entry"),
])
def test_wrong_rigs(tmp_path, change, message):
    path = write(tmp_path / "rig.json", rig_document(**change))
    with pytest.raises(ConfigError, match=message):
        read_rig(path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "\udcff"])
def test_not_json(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for read in (read_rig, read_schedule):
        with pytest.raises(FormatError, match=r"x\.json: (not JSON|holds (a|nothing))"):
            read(path)


@pytest.mark.parametrize("read", [read_rig, read_schedule])
def test_missing_file(tmp_path, read):
    with pytest.raises(FormatError, match=r"gone\.json: No such file"):
        read(tmp_path / "gone.json")


def test_unknown_suffix(tmp_path):
    (tmp_path / "rig.xlsx").write_text("id,x,y,z")
    with pytest.raises(FormatError, match=r"end in \.json, \.csv or \.lp, not '\.xlsx'"):
        read_rig(tmp_path / "rig.xlsx")


def test_schedule_with_a_light_never_lit(tmp_path):
    document = schedule_to_document(default_114())
    slot = next(item for item in document["frames"] if item.get("l") == 57)
    slot["l"] = 56
    with pytest.raises(ConfigError, match="light 57 never has its own slot"):
        read_schedule(write(tmp_path / "s.json", document))


# ---------------------------------------------------------------- CSV and lp

def test_csv_with_gains(tmp_path):
    path = write(tmp_path / "dome.csv", "\ufeffid,x,y,z,gr,gg,gb\n1,1.3,0,0,2,1,0.5\n0,0,0,1.3,1,1,1\n")
    rig = read_rig(path)
    assert rig.name == "dome"
    np.testing.assert_allclose(rig.positions, [[0, 0, 1.3], [1.3, 0, 0]])
    np.testing.assert_allclose(rig.gains, [[1, 1, 1], [2, 1, 0.5]])


def test_csv_of_unit_vectors_has_no_positions(tmp_path):
    rig = read_rig(write(tmp_path / "d.csv", "id,x,y,z,enabled\n0,0,0,1,1\n1,1,0,0,0\n"))
    assert rig.positions is None
    assert rig.enabled.tolist() == [True, False]


@pytest.mark.parametrize("text, message", [
    ("a,b\n1,2\n", "columns a,b, expected id,x,y,z"),
    ("", "columns none, expected"),
    ("id,x,y,z\n", "no lights"),
    ("id,x,y,z\n0,0,0,1\n1,0,zero,1\n", "line 3: could not convert"),
    ("id,x,y,z\n0,0,0\n", "line 2"),
])
def test_wrong_csv(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read_rig(write(tmp_path / "rig.csv", text))


@pytest.mark.parametrize("text, message", [
    ("id,x,y,z\n0,0,0,1\n1,0,nan,1\n", "light 1 has position .* finite"),
    ("id,x,y,z\n0,0,0,1\n0,1,0,0\n", "light id 0 appears 2 times"),
    ("id,x,y,z\n0,0,0,1\n1,0,0,1\n", "lights 0 and 1 have the same direction"),
])
def test_wrong_values_in_csv(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_rig(write(tmp_path / "rig.csv", text))


def test_csv_gain_of_zero_is_not_one(tmp_path):
    """An empty cell means 1; a zero is a value, and a wrong one."""
    path = write(tmp_path / "rig.csv", "id,x,y,z,gr,gg,gb\n0,0,0,1,,,\n1,1,0,0,0,1,1\n")
    with pytest.raises(ConfigError, match="gain of light 1"):
        read_rig(path)


def test_lp(tmp_path):
    rig = read_rig(write(tmp_path / "dome.lp", "2\nshot_001.jpg 0 0 1\nshot_002.jpg 0.6 0 0.8\n\n"))
    np.testing.assert_allclose(rig.directions, [[0, 0, 1], [0.6, 0, 0.8]])
    assert rig.positions is None


@pytest.mark.parametrize("text, message", [
    ("", "expected a count"), ("two\na 0 0 1\n", "expected a count"), ("3\na 0 0 1\n", "says 3 lights, 1 follow"),
    ("0\n", "says 0 lights"), ("1\na 0 up 1\n", "could not convert"),
])
def test_wrong_lp(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read_rig(write(tmp_path / "rig.lp", text))


def test_rig_document_says_its_conventions():
    document = rig_to_document(default_rig(3))
    assert (document["version"], document["units"], document["axes"]) == (1, "m", "x-right,y-up,z-to-camera")
    assert document["radius"] == 1.3
