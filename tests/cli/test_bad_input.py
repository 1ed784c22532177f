"""Everything that can be wrong with a capture ends in exit code 1, one line on stderr, and nothing half-written."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_take import FRAMES, LIGHTS, arguments, small_stage, write_take
from synthetic import still

from olatkit.cli import main as cli
from olatkit.cli import options
from olatkit.io.run_lock import running_alone
from olatkit.rig import default_rig
from olatkit.schedule import default_114, schedule_to_document


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return write_take(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def folder(recorded, tmp_path):
    """A take of the test's own, to be damaged."""
    return Path(shutil.copytree(recorded, tmp_path / "stage"))


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Run a command line that must fail; returns its one line without the program's name."""
    def run(*line, code=1):
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", ["olatkit", *line])
        monkeypatch.setattr(options, "LINE_SECONDS", 600.0)  # no line of progress, however slow the machine is
        level = logging.getLogger().level
        with pytest.raises(SystemExit) as stop:
            cli.main()
        logging.getLogger().setLevel(level)
        assert stop.value.code == code
        lines = [text for text in capsys.readouterr().err.splitlines() if text.strip()]
        assert len(lines) == 1, lines
        assert lines[0].startswith("olatkit: ")
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0].removeprefix("olatkit: ")

    return run


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


# ---------------------------------------------------------------- the capture

def test_no_such_capture(folder, tmp_path, refused):
    (folder / "take.cine").unlink()
    assert "take.cine: no such file" in refused(*arguments(folder, tmp_path / "o.olat.h5"))


@pytest.mark.parametrize("share", [0.001, 0.05, 0.7, 0.9999])
def test_truncated_capture(folder, tmp_path, refused, share):
    path = folder / "take.cine"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "take.cine" in refused(*arguments(folder, tmp_path / "o.olat.h5"))


def test_a_text_called_cine(folder, tmp_path, refused):
    (folder / "take.cine").write_bytes(b"hello, this is text")
    message = refused(*arguments(folder, tmp_path / "o.olat.h5"))
    assert message == f"{folder / 'take.cine'}: starts with b'he', expected b'CI'; is it a Phantom .cine file?"


@pytest.mark.parametrize("content", [b"", b"RIFF" + bytes(5000), bytes(np.random.default_rng(0).bytes(9000))])
def test_something_else_called_cine(folder, tmp_path, refused, content):
    (folder / "take.cine").write_bytes(content)
    assert "take.cine" in refused(*arguments(folder, tmp_path / "o.olat.h5"))


def test_unknown_kind_of_capture(folder, tmp_path, refused):
    (folder / "take.cine").rename(folder / "take.dat")
    line = [a.replace("take.cine", "take.dat") for a in arguments(folder, tmp_path / "o.olat.h5")]
    assert "cannot tell what stream this is; expected .cine" in refused(*line)


def test_a_folder_without_images(folder, tmp_path, refused):
    (tmp_path / "empty").mkdir()
    line = [str(tmp_path / "empty") if a.endswith("take.cine") else a for a in arguments(folder, tmp_path / "o.olat.h5")]
    assert "empty" in refused(*line)


def test_a_curve_for_a_linear_file(folder, tmp_path, refused):
    line = arguments(folder, tmp_path / "o.olat.h5", "--transfer", "srgb")
    assert "transfer='srgb' is for videos and folders of images" in refused(*line)


def test_shorter_than_a_cycle(tmp_path, refused):
    folder = write_take(tmp_path, count=15)
    assert "15 frames, shorter than one cycle of 20" in refused(*arguments(folder, tmp_path / "o.olat.h5"))


def test_thirty_percent_saturated(tmp_path, refused):
    folder = write_take(tmp_path, small_stage(motion=still), exposure=12.0)
    message = refused(*arguments(folder, tmp_path / "o.olat.h5"))
    share = float(message.split(" % of the subject's pixels")[0].rsplit(" ", 1)[1])
    assert share > 25
    assert "record with less light" in message


def test_nothing_in_front_of_the_camera(tmp_path, refused):
    folder = write_take(tmp_path, small_stage(level=0.0))
    assert "no phase" in refused(*arguments(folder, tmp_path / "o.olat.h5"))


# ---------------------------------------------------------------- rig and schedule

def test_wrong_schedule_has_no_phase(folder, tmp_path, refused):
    def shuffle(document):
        single = [item for item in document["frames"] if item["k"] == "olat"]
        for item, light in zip(single, np.random.default_rng(77).permutation(LIGHTS).tolist(), strict=True):
            item["l"] = light

    edit(folder / "schedule.json", shuffle)
    assert "no phase" in refused(*arguments(folder, tmp_path / "o.olat.h5"))


def test_a_rig_of_113_lights_with_a_schedule_for_114(folder, tmp_path, refused):
    lights = default_rig(113).directions.tolist()
    (folder / "rig.json").write_text(json.dumps({"lights": [{"id": i, "pos": p} for i, p in enumerate(lights)]}))
    (folder / "schedule.json").write_text(json.dumps(schedule_to_document(default_114())))
    message = refused(*arguments(folder, tmp_path / "o.olat.h5"))
    assert "has 113 lights" in message
    assert "114" in message


def test_a_light_never_lit_is_named(folder, tmp_path, refused):
    def forget(document):
        slot = next(item for item in document["frames"] if item.get("l") == 11)
        slot["l"] = 12

    edit(folder / "schedule.json", forget)
    assert "light 11 never has its own slot (17 of 18 covered)" in refused(*arguments(folder, tmp_path / "o.olat.h5"))


@pytest.mark.parametrize("change, message", [
    (lambda d: d["lights"][4].update(pos=d["lights"][9]["pos"]), "lights 4 and 9 have the same direction"),
    (lambda d: d["lights"][4].update(pos=[float("nan"), 0, 1]), "light 4 has position"),
    (lambda d: d["lights"][4].update(pos=[0, 0, 0]), "light 4 has position"),
    (lambda d: d["lights"][4].update(id=5), "light id 5 appears 2 times"),
    (lambda d: d["lights"].pop(4), "light ids run from 0 to 17 and [4] are missing"),
    (lambda d: d.pop("lights"), "key 'lights' holds no list of lights"),
    (lambda d: d["lights"][4].update(gain=[1, -1, 1]), "gain of light 4"),
])
def test_wrong_rigs(folder, tmp_path, refused, change, message):
    edit(folder / "rig.json", change)
    assert message in refused(*arguments(folder, tmp_path / "o.olat.h5"))


@pytest.mark.parametrize("change, message", [
    (lambda d: d.pop("fps"), "key 'fps' is missing"),
    (lambda d: d.update(stride=0), "stride is 0"),
    (lambda d: d["frames"].pop(), "19 frames listed, expected the cycle length 20"),
    (lambda d: d["frames"][0].update(k="strobe"), "'strobe'"),
    (lambda d: d["frames"][0].update(gain=-1), "gain -1"),
    (lambda d: d["frames"][10].update(gain=0.5), "tracking gains [0.12, 0.5], expected exactly one"),
    (lambda d: d["frames"][1].update(l=99), "light 99, expected 0 to 17"),
    (lambda d: d.update(version=7), "version 7"),
])
def test_wrong_schedules(folder, tmp_path, refused, change, message):
    edit(folder / "schedule.json", change)
    assert message in refused(*arguments(folder, tmp_path / "o.olat.h5"))


def test_a_schedule_without_tracking_frames(folder, tmp_path, refused):
    edit(folder / "schedule.json", lambda d: [item.update(k="dark") for item in d["frames"] if item["k"] == "track"])
    assert "no tracking slot in the cycle of 20" in refused(*arguments(folder, tmp_path / "o.olat.h5"))


@pytest.mark.parametrize("name", ["rig.json", "schedule.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "\x00\xff"])
def test_documents_that_are_not_json(folder, tmp_path, refused, name, content):
    (folder / name).write_bytes(content.encode("latin-1"))
    assert name in refused(*arguments(folder, tmp_path / "o.olat.h5"))


@pytest.mark.parametrize("name", ["rig.json", "schedule.json"])
def test_missing_documents(folder, tmp_path, refused, name):
    (folder / name).unlink()
    expected = "a rig, the positions of the lights, in .json" if name == "rig.json" else "a lighting schedule in .json"
    message = refused(*arguments(folder, tmp_path / "o.olat.h5"))
    assert f"{folder / name}: No such file or directory; expected {expected}" in message


def test_a_folder_as_a_rig(folder, tmp_path, refused):
    line = [str(tmp_path) if part.endswith("rig.json") else part for part in arguments(folder, tmp_path / "o.olat.h5")]
    assert "Is a directory; expected a rig" in refused(*line)


# ---------------------------------------------------------------- wrong usage

@pytest.mark.parametrize("line, message", [
    (["ingest"], "Missing argument 'SOURCE'; try 'olatkit ingest --help'"),
    (["render", "a.olat.h5", "--upp", "+y", "-o", "b"], "try 'olatkit render --help'"),
    (["render", "a.olat.h5", "-o", "b"], "nothing to render with: give --envmap or --track; try 'olatkit render --help'"),
    (["ingest", "a.cine", "--codes", "zip"], "'zip' is not one of 'sqrt12', 'float16', 'float32'; try 'olatkit ingest"),
    (["bank", "build", "a"], "try 'olatkit bank build --help'"),
    (["shards", "shwo"], "No such command 'shwo'. Did you mean 'show'? Try 'olatkit shards --help'"),
    (["normals", "a.olat.h5"], "Missing option '-o' / '--output'; try 'olatkit normals --help'"),
    (["--quick"], "No such option '--quick'; try 'olatkit --help'"),
    (["nigest"], "No such command 'nigest'; try 'olatkit --help'"),
])
def test_wrong_usage_is_one_line_too(refused, line, message):
    assert message in refused(*line, code=2)


def test_a_group_alone_shows_its_help(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["olatkit", "shards"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "verify" in capsys.readouterr().err


# ---------------------------------------------------------------- options and outputs

def test_an_existing_output(folder, tmp_path, refused):
    out = tmp_path / "o.olat.h5"
    out.write_text("precious")
    assert "o.olat.h5: already exists" in refused(*arguments(folder, out))
    assert out.read_text() == "precious"


def test_an_output_in_a_folder_that_is_a_file(folder, tmp_path, refused):
    (tmp_path / "file").write_text("x")
    refused(*arguments(folder, tmp_path / "file" / "o.olat.h5"))


@pytest.mark.parametrize("more, message", [
    (("--start", "80"), "shorter than one cycle"),
    (("--start", "50", "--stop", "40"), "take.cine: --start 50 --stop 40: the first frame must come before the end"),
    (("--start", "200", "--stop", "100"), "--start 200 --stop 100: the first frame must come before the end"),
    (("--stop", "1000"), f"--start 0 --stop 1000: the file has {FRAMES} frames, expected 0 to {FRAMES}"),
    (("--start", "-5"), f"--start -5 --stop {FRAMES}: the file has {FRAMES} frames"),
    (("--size", "480"), "larger than the camera's 48x48"),
    (("--roi", "40,40,30,30"), "does not lie in the picture"),
    (("--set", "mood=happy"), "unknown setting 'mood'"),
    (("--set", "motion.speed=3"), "unknown setting 'motion.speed', expected one of motion.method, motion.flow, "),
    (("--set", "mood=happy"), "expected one of mode, motion.*, demosaic.*, crosstalk, "),
    (("--set", "motion=fast"), "'motion' is a group of settings, expected one of motion.method, "),
    (("--linearity", "/nowhere/curve.json"), "/nowhere/curve.json: No such file"),
    (("--set", "motion.method=magic"), "setting 'motion.method' is 'magic'"),
    (("--set", "mode"), "expected KEY=VALUE"),
    (("--config", "/nowhere/c.yaml"), "/nowhere/c.yaml"),
    (("--dark", "/nowhere/dark.cine"), "/nowhere/dark.cine"),
    (("--scheduler", "fast"), "scheduler 'fast' is unknown"),
])
def test_options_that_cannot_work(folder, tmp_path, refused, more, message):
    assert message in refused(*arguments(folder, tmp_path / "o.olat.h5", *more))


def test_settings_that_do_not_go_together(refused):
    """The size came by an option of its own: no '--set' that was never written is blamed."""
    message = refused("build-shards", "a.olat.h5", "--size", "100", "-o", "shards")
    assert message == "settings: size 100 is not a multiple of the tile, 32"


def test_settings_with_a_date_that_is_none(folder, tmp_path, refused):
    said = "--set 'mode=2024-13-45': the value is not YAML: month must be in 1..12"
    assert said in refused(*arguments(folder, tmp_path / "o.olat.h5", "--set", "mode=2024-13-45"))
    (tmp_path / "c.yaml").write_text("mode: 2024-13-45")
    message = refused(*arguments(folder, tmp_path / "o.olat.h5", "--config", str(tmp_path / "c.yaml")))
    assert "c.yaml: not YAML: month must be in 1..12" in message


@pytest.mark.parametrize("content, called", [("some notes", "plain text"), ("- mode: blend", "a list"), ("7", "a number")])
def test_settings_that_are_none(folder, tmp_path, refused, content, called):
    (tmp_path / "c.yaml").write_text(content)
    message = refused(*arguments(folder, tmp_path / "o.olat.h5", "--config", str(tmp_path / "c.yaml")))
    assert f"c.yaml: holds {called}, expected settings as YAML, a line 'KEY: VALUE' each; known are mode, " in message


@pytest.mark.parametrize("names, message", [
    (("schedule.json", "schedule.json"), "holds a lighting schedule, expected a rig; are rig and schedule swapped?"),
    (("rig.json", "rig.json"), "rig.json: holds a rig, expected a lighting schedule; are rig and schedule swapped?"),
])
def test_rig_and_schedule_swapped(folder, tmp_path, refused, names, message):
    rig, schedule = (str(folder / name) for name in names)
    line = ("ingest", str(folder / "take.cine"), "--rig", rig, "--schedule", schedule, "-o", str(tmp_path / "o.olat.h5"))
    assert message in refused(*line)


def test_a_second_run_on_the_same_output(folder, tmp_path, refused):
    with running_alone(tmp_path / "o.olat.h5.parts"):
        message = refused(*arguments(folder, tmp_path / "o.olat.h5"))
    assert f"o.olat.h5.parts: another run is writing there (process {os.getpid()} on " in message


@pytest.mark.parametrize("name", ["take.cine", "rig.json", "schedule.json"])
def test_files_that_may_not_be_read(folder, tmp_path, refused, name):
    (folder / name).chmod(0)
    if os.access(folder / name, os.R_OK):
        pytest.skip("this user may read everything")
    message = refused(*arguments(folder, tmp_path / "o.olat.h5"))
    assert f"{folder / name}: Permission denied" in message


def test_a_folder_that_may_not_be_written(folder, tmp_path, refused):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert f"{closed}/o.olat.h5" in (message := refused(*arguments(folder, closed / "o.olat.h5")))
    assert "Permission denied" in message


def test_dark_frames_of_another_size(folder, tmp_path, refused):
    (tmp_path / "other").mkdir()
    write_take(tmp_path / "other", small_stage(size=(64, 64)))
    line = arguments(folder, tmp_path / "o.olat.h5", "--dark", str(tmp_path / "other/take.cine"))
    message = refused(*line)
    assert "(64, 64)" in message
    assert "(48, 48)" in message


def test_a_shell_sees_one_line_and_exit_code_1(tmp_path):
    """The same through a real process."""
    folder = write_take(tmp_path, count=15)
    ran = subprocess.run(
        [sys.executable, "-m", "olatkit", *arguments(folder, tmp_path / "o.olat.h5")], capture_output=True, text=True,
        timeout=120, check=False,
    )
    assert ran.returncode == 1
    assert ran.stdout == ""
    # On a slow machine a line of progress stands before it.
    *before, last = ran.stderr.splitlines()
    assert last.startswith(f"olatkit: {folder / 'take.cine'}: 15 frames, shorter than one cycle")
    assert all(line.startswith("looking at frames: ") for line in before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rig.json", "schedule.json", "take.cine"]
