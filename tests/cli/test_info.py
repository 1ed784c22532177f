"""``olatkit info``: every kind of file is recognised and its numbers are right; anything else is one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_take import FRAMES, IMAGESETS, LIGHTS, PHASE, write_take

import olatkit.jobs.ingest as job
from olatkit.cli.info import command
from olatkit.cli.main import group
from olatkit.errors import FormatError
from olatkit.io.describe import describe
from olatkit.io.describe_stream import find_gaps
from olatkit.io.facts import file_size, span
from olatkit.io.images import write_exr, write_png
from olatkit.io.truth import write_truth
from olatkit.io.truth_labels import write_truth_labels
from olatkit.rig import LightRig, default_rig


def info(*files: Path, as_json: bool = False) -> Result:
    return CliRunner().invoke(command, [*map(str, files), *(["--json"] if as_json else [])])


def facts(path: Path) -> dict:
    """Keys and values as machines get them."""
    result = info(path, as_json=True)
    assert result.exit_code == 0, result.output
    (item,) = json.loads(result.stdout)
    assert item["path"] == str(path)
    return item


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A capture in which frames 30 and 31 were dropped, and its take."""
    folder = tmp_path_factory.mktemp("stage")
    write_take(folder, keep=np.setdiff1d(np.arange(FRAMES), [30, 31]))
    names = (folder / name for name in ("take.cine", "rig.json", "schedule.json"))
    job.ingest(*names, folder / "take.olat.h5", scheduler="sync")
    return folder


def test_cine(folder):
    found = facts(folder / "take.cine")
    assert found["kind"] == "Phantom .cine capture"
    assert found["frames"] == FRAMES - 2
    assert found["size_px"] == [48, 48]
    assert found["dropped_frames"] == 2
    assert found["measured_rate_hz"] == pytest.approx(1000)
    assert found["duration_s"] == pytest.approx(FRAMES / 1000)
    assert found["levels"] == [64, 4095]
    assert found["bits"] == 12
    shown = info(folder / "take.cine").output
    assert "2: 2 before frame 30" in shown
    assert "Bayer GBRG" in shown
    assert "12 bits packed (P12L)" in shown


def test_gaps_are_found_at_any_rate():
    kept = np.setdiff1d(np.arange(100), [4, 50, 51, 52])
    assert find_gaps(kept / 997.3) == [(4, 1), (49, 3)]
    assert find_gaps(np.arange(50) / 25) == []
    assert find_gaps(np.zeros(1)) == []


def test_take(folder):
    found = facts(folder / "take.olat.h5")
    assert found["kind"] == "take of OLAT imagesets"
    assert found["lights"] == LIGHTS
    assert found["phase"] == PHASE
    assert 0 < found["imagesets"] <= IMAGESETS
    assert found["images"]["all"] == found["imagesets"] * LIGHTS
    assert "px per 60 frames" in info(folder / "take.olat.h5").output


def test_rig_and_schedule(folder):
    rig, schedule = facts(folder / "rig.json"), facts(folder / "schedule.json")
    assert rig["kind"] == "light rig"
    assert rig["lights"] == LIGHTS
    assert rig["distance_m"] == pytest.approx([1.3, 1.3])
    assert schedule["kind"] == "lighting schedule"
    assert schedule["cycle_frames"] == 20
    assert schedule["slots"] == {"track": 2, "olat": 18}
    assert schedule["overlap"] == 2


def test_rig_of_two_opposite_lights_has_a_hole_of_a_quarter_sphere(tmp_path):
    rows = "id,x,y,z,gr,gg,gb\n0,0,0,2,1,1,1\n1,0,0,-3,0.5,1,1\n"
    (tmp_path / "rig.csv").write_text(rows)
    found = facts(tmp_path / "rig.csv")
    assert found["nearest_deg"] == pytest.approx([180, 180])
    assert found["largest_hole_deg"] == pytest.approx(90, abs=2)  # the grid is 4 degrees wide
    assert found["distance_m"] == [2, 3]
    assert found["gains"] == [0.5, 1]


def test_dead_lights_are_named(tmp_path):
    from olatkit.io.documents import write_rig

    rig = default_rig(12)
    write_rig(tmp_path / "rig.json", LightRig("dome", rig.directions, enabled=np.arange(12) != 7))
    assert facts(tmp_path / "rig.json")["dead_lights"] == [7]


def test_environment_map(tmp_path):
    # A uniform map of radiance 2 with one bright pixel at row 1, column 12 of 8 x 16, and faults.
    radiance = np.full((8, 16, 3), 2, np.float32)
    write_exr(tmp_path / "even.exr", radiance)
    even = facts(tmp_path / "even.exr")
    assert even["kind"] == "environment map (lat-long)"
    assert even["power"] == pytest.approx([8 * np.pi] * 3)
    assert even["mean_luminance"] == pytest.approx(2)
    radiance[4, 12] = 512
    radiance[0, 0, 0], radiance[0, 1, 1] = -1, np.nan
    write_exr(tmp_path / "sun.exr", radiance)
    sun = facts(tmp_path / "sun.exr")
    assert sun["peak"] == 512
    assert sun["lowest"] == -1
    assert sun["faulty_values"] == {"NaN": 1, "infinite": 0, "negative": 1}
    assert sun["brightest_direction"][0] > 0.9  # column 12.5 of 16: nearly +X, the picture's right


def test_pictures(tmp_path):
    write_png(tmp_path / "a.png", np.full((4, 6, 3), 7, np.uint8))
    found = facts(tmp_path / "a.png")
    assert found["kind"] == "picture"
    assert found["size_px"] == [6, 4]
    assert found["values"] == [7, 7]
    write_exr(tmp_path / "b.exr", np.ones((4, 6), np.float32))
    assert facts(tmp_path / "b.exr")["kind"] == "linear picture"


def test_black_map_has_no_brightest_direction(tmp_path):
    write_exr(tmp_path / "black.exr", np.zeros((8, 16, 3), np.float32))
    assert "brightest_direction" not in facts(tmp_path / "black.exr")


def test_truth_beside_an_exact_take(tmp_path):
    labels = np.zeros((2, 8, 10), np.uint8)
    write_truth_labels(tmp_path / "actor-01.truth.h5", [0, 60], labels, labels + 0.5)
    found = facts(tmp_path / "actor-01.truth.h5")
    assert found["kind"] == "true labels of a simulated take"
    assert (found["instants"], found["size_px"], found["datasets"]) == (2, [10, 8], "label, mask, r_tick")


def test_truth(tmp_path):
    attributes = {"codes_per_unit": 1.0, "full_scale_codes": 4031.0, "phase": 5, "eps": 0.1, "dropped_ticks": [3, 4]}
    with write_truth(tmp_path / "truth.h5", shape=(1, 12, 8, 10), arrays={}, attributes=attributes):
        pass
    found = facts(tmp_path / "truth.h5")
    assert found["kind"] == "ground truth of a simulated take"
    assert (found["instants"], found["lights"], found["size_px"]) == (1, 12, [10, 8])
    assert (found["phase"], found["eps"], found["dropped_frames"]) == (5, 0.1, 2)


def test_parts_of_an_interrupted_ingest(folder, tmp_path, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "merge_parts", interrupt)
    names = (folder / name for name in ("take.cine", "rig.json", "schedule.json"))
    with pytest.raises(KeyboardInterrupt):
        job.ingest(*names, tmp_path / "x.olat.h5", scheduler="sync")
    parts = tmp_path / "x.olat.h5.parts"
    done, wanted = facts(parts)["imagesets_done"]
    assert done == wanted > 0
    (parts / "000000.h5").write_bytes(b"half of a par")
    assert facts(parts)["imagesets_done"] == [wanted - 1, wanted]
    for damaged in ("{", "[]", '{"lightings": []}'):
        (parts / "plan.json").write_text(damaged)
        with pytest.raises(FormatError, match=r"not that of an unfinished ingest, import, render or bank .*tells whether"):
            describe(parts)


def test_array_with_sidecar(tmp_path):
    np.save(tmp_path / "frames.npy", np.zeros((5, 6, 8), np.uint8))
    (tmp_path / "frames.json").write_text('{"frame_rate_hz": 50}')
    found = facts(tmp_path / "frames.npy")
    assert (found["frames"], found["frame_rate_hz"], found["size_px"]) == (5, 50, [8, 6])
    assert "dropped_frames" not in found
    assert facts(tmp_path / "frames.json")["kind"].startswith("sidecar")


@pytest.mark.parametrize(("name", "content", "match"), [
    ("a.txt", b"hello", "no kind of file that olatkit knows"),
    ("a.cine", b"CI", "truncated"),
    ("a.cine", b"some words of text", "is it a Phantom .cine file"),
    ("empty.exr", b"", "the file is empty; copy or make it again"),
    ("empty.cine", b"", "empty"),
    ("a.h5", b"\x89HDF\r\n\x1a\n and then nothing", "damaged HDF5"),
    ("a.json", b"{", "not JSON"),
    ("a.json", b"[1]", "JSON of no known kind"),
    ("a.json", b'{"lights": []}', "holds no list of lights"),
    ("a.png", b"\x89PNG\r\n\x1a\n", "truncated image"),
    ("a.csv", b"x,y\n1,2\n", "columns"),
    ("a.bin", b"\x00\x01\xff", "no kind of file"),
    ("a.json", b"\xff\xfe\x00", "not JSON"),
])
def test_anything_else_is_one_error(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=match) as caught:
        describe(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value) or name in str(caught.value)


def test_foreign_hdf5_is_refused(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["things"] = [1, 2]
    with pytest.raises(FormatError, match=r"no known kind \(things\)"):
        describe(tmp_path / "a.h5")


def test_missing_file_and_plain_folder(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        describe(tmp_path / "nothing.cine")
    with pytest.raises(FormatError):
        describe(tmp_path)


def test_one_bad_file_does_not_hide_the_others(folder, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    result = info(tmp_path / "gone", tmp_path / "a.txt", folder / "rig.json")
    assert result.exit_code == 1
    assert isinstance(result.exception, FormatError)
    assert "a.txt" in str(result.exception)
    assert "light rig" in result.stdout
    assert "gone: no such file" in result.stderr


def test_text_is_aligned_and_every_fact_has_a_line(folder):
    lines = info(folder / "schedule.json").output.splitlines()
    assert lines[0] == f"{folder / 'schedule.json'}: lighting schedule"
    described = describe(folder / "schedule.json")
    assert len(lines) == 1 + len(described.facts)
    column = 4 + max(len(fact.label) for fact in described.facts)
    for line, fact in zip(lines[1:], described.facts, strict=True):
        assert line[column:] == fact.text
        assert line[:column].strip() == fact.label


def test_json_has_no_word_for_infinity(tmp_path):
    image = np.ones((8, 16, 3), np.float32)
    image[:] = np.nan
    write_exr(tmp_path / "nan.exr", image)
    assert facts(tmp_path / "nan.exr")["peak"] is None


def test_info_is_a_command_of_olatkit(folder):
    result = CliRunner().invoke(group, ["info", str(folder / "rig.json")])
    assert result.exit_code == 0
    assert "light rig" in result.output


def test_spans_and_sizes():
    assert span("a", [1, 1], "m", "a_m").text == "1 m"
    assert span("a", [1, 2.5], "m", "a_m").text == "1 to 2.5 m"
    assert file_size(0).text == "0 bytes"
    assert file_size(2_500_000).text == "2.5 MB"


@pytest.mark.real_data
def test_real_files(test_data):
    v2012 = facts(test_data / "cine" / "v2012_mono12.cine")
    assert v2012["frame_rate_hz"] == 90000
    assert v2012["measured_rate_hz"] == pytest.approx(9003, abs=1)
    assert facts(test_data / "rigs" / "dome_331.csv")["lights"] == 331
    assert facts(test_data / "hdri" / "night.exr")["faulty_values"]["negative"] == 829
