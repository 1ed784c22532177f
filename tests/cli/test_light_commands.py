"""``olatkit envmap`` and ``olatkit bank``: what they write and print, and one line for everything that is wrong."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from olatkit.cli import main as cli
from olatkit.cli.bank import command as bank
from olatkit.cli.envmap import command as envmap
from olatkit.envmap import EnvironmentMap
from olatkit.io.banks import read_bank
from olatkit.io.exr import write_exr
from olatkit.io.images import read_image
from olatkit.render.map_pictures import BANDS, _stops
from olatkit.rig import default_rig


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    radiance = np.random.default_rng(0).exponential(1, (64, 128, 3)).astype(np.float32)
    radiance[20, 96] = 3e4  # right
    write_exr(tmp_path / "sky.exr", radiance)
    return tmp_path / "sky.exr"


def run(command, *line: object):
    return CliRunner().invoke(command, [str(word) for word in line], catch_exceptions=False)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path):
    """Run a command line that must fail with code 1; returns its one line."""
    def call(*line: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", ["olatkit", *map(str, line)])
        level = logging.getLogger().level
        with pytest.raises(SystemExit) as stop:
            cli.main()
        logging.getLogger().setLevel(level)
        assert stop.value.code == 1
        lines = [text for text in capsys.readouterr().err.splitlines() if text.strip()]
        assert len(lines) == 1, lines
        assert [p for p in sorted(tmp_path.rglob("*")) if p not in before and ".parts" not in str(p)] == []
        return lines[0]

    return call


def test_info_says_where_the_light_is(sky: Path) -> None:
    (found,) = json.loads(run(envmap, "info", sky, "--json").output)
    assert found["size_px"] == [128, 64]
    assert found["brightest_deg"] == pytest.approx([32.3, 88.6], abs=0.1)
    assert found["peak_over_mean_stops"] > 10
    assert "nothing odd" in run(envmap, "info", sky).output
    (turned,) = json.loads(run(envmap, "info", sky, "--json", "--center", "+x").output)
    # The file's right, a quarter turn from its centre, is then what lies a quarter turn from +X: the camera's side.
    assert abs(turned["brightest_deg"][1]) < 2
    assert turned["power"] == pytest.approx(found["power"], rel=1e-6)


def test_a_bad_map_does_not_hide_the_good_ones(sky: Path, tmp_path: Path) -> None:
    write_exr(tmp_path / "black.exr", np.zeros((8, 16, 3), np.float32))
    write_exr(tmp_path / "dim.exr", np.full((8, 16, 3), 1e-3, np.float32))
    maps = [sky, tmp_path / "black.exr", tmp_path / "none.exr", tmp_path / "dim.exr"]
    done = CliRunner().invoke(envmap, ["info", *map(str, maps)])
    assert done.exit_code == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines() if not line.startswith(" ") and line] == [
        str(sky), str(tmp_path / "dim.exr")]
    assert done.stderr.count("\n") == 1
    assert "black.exr: the map is black everywhere" in done.stderr
    assert "none.exr" in str(done.exception)  # the last one, which the program tells as it tells any error


def test_downsample_keeps_the_power(sky: Path, tmp_path: Path) -> None:
    done = run(envmap, "downsample", sky, "-o", tmp_path / "small.exr", "--size", "32x8")
    assert done.exit_code == 0
    assert "power kept 1.000000" in done.stderr
    whole, small = (EnvironmentMap(read_image(path)) for path in (sky, tmp_path / "small.exr"))
    assert small.shape == (8, 32)
    np.testing.assert_allclose(small.power, whole.power, rtol=1e-6)


@pytest.mark.parametrize("turn", [("--yaw", "90"), ("--yaw", "12.3", "--pitch", "40"), ("--roll", "90")])
def test_rotate_writes_a_turned_map(sky: Path, tmp_path: Path, turn: tuple[str, ...]) -> None:
    done = run(envmap, "rotate", sky, "-o", tmp_path / "t.exr", *turn)
    assert done.exit_code == 0
    assert ("resampling changed the power" in done.stderr) == (turn[0] != "--yaw" or len(turn) > 2)
    environment = EnvironmentMap(read_image(sky))
    angles = {word.removeprefix("--") + "_deg": float(value) for word, value in zip(turn[::2], turn[1::2], strict=True)}
    np.testing.assert_allclose(read_image(tmp_path / "t.exr"), environment.rotate(**angles).radiance, rtol=1e-6)


def test_rotate_wants_a_turn(sky: Path, tmp_path: Path) -> None:
    done = run(envmap, "rotate", sky, "-o", tmp_path / "t.exr", "--any-aspect")
    assert done.exit_code == 2
    assert "nothing to turn by: give --yaw, --pitch or --roll" in done.stderr
    assert not (tmp_path / "t.exr").exists()
    # A file that lies otherwise is turned by that alone, and an angle of 0 is one.
    assert run(envmap, "rotate", sky, "-o", tmp_path / "t.exr", "--center", "+z").exit_code == 0
    np.testing.assert_array_equal(read_image(tmp_path / "t.exr"), np.roll(read_image(sky), 64, axis=1))
    assert run(envmap, "rotate", sky, "-o", tmp_path / "u.exr", "--yaw", "0").exit_code == 0
    np.testing.assert_array_equal(read_image(tmp_path / "u.exr"), read_image(sky))


def test_show_draws_a_page_with_and_without_lights(sky: Path, tmp_path: Path) -> None:
    from olatkit.io.documents import write_rig

    write_rig(tmp_path / "rig.json", default_rig(30))
    assert run(envmap, "show", sky, "-o", tmp_path / "a.png").exit_code == 0
    assert run(envmap, "show", sky, "-o", tmp_path / "b.png", "--rig", tmp_path / "rig.json",
               "--method", "lobe").exit_code == 0
    plain, lit = read_image(tmp_path / "a.png"), read_image(tmp_path / "b.png")
    assert plain.shape == (3 * 256 + 8, 2 * 512 + 4, 3)
    assert lit.shape == (4 * 256 + 12, 2 * 512 + 4, 3)
    np.testing.assert_array_equal(lit[: 3 * 256], plain[: 3 * 256])


def test_the_legend_of_the_stops_says_what_a_colour_means() -> None:
    """A map of one brightness per column, in stops from the mean: its colours are those of the legend, in its order."""
    stops = np.repeat([-10, -6, -2, 2, 6, 10, 14, 18], 64)
    picture = _stops(EnvironmentMap(np.broadcast_to((2.0**stops)[:, None], (256, 512, 3)), "stops"))
    np.testing.assert_array_equal(picture[0, 32::64], BANDS)
    bright = (picture[243] == BANDS[-1]).all(axis=1)  # within the legend
    legend = picture[243, np.flatnonzero(bright)[-1] - 319 :]
    np.testing.assert_array_equal(legend[20:320:40], BANDS)


def test_encode_writes_what_is_asked_for(sky: Path, tmp_path: Path) -> None:
    done = run(envmap, "encode", sky, "-o", tmp_path / "e", "--form", "sh2", "--form", "triple", "--size", "64x32")
    assert done.exit_code == 0
    assert sorted(p.name for p in (tmp_path / "e").iterdir()) == [
        "sky_dir.exr", "sky_ldr.png", "sky_log.exr", "sky_sh2.json"]
    assert read_image(tmp_path / "e" / "sky_ldr.png").shape == (32, 64, 3)


def test_axes_that_do_not_go_together_are_wrong_usage(sky: Path, tmp_path: Path) -> None:
    for line in (("info", sky), ("show", sky, "-o", tmp_path / "a.png")):
        done = run(envmap, *line, "--center", "-y")
        assert done.exit_code == 2
        assert "lie on one axis" in done.stderr


def test_bank_build_info_show(sky: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    for name in ("sky_1k.exr", "sea.exr", "hall.exr"):
        (tmp_path / "maps" / name).write_bytes(sky.read_bytes() + name.encode())  # padding: other hashes, same picture
    out = tmp_path / "bank.h5"
    done = run(bank, "build", tmp_path / "maps", "-o", out, "--test-scene", "sky", "--scheduler", "sync")
    assert done.exit_code == 0
    assert "3 maps of 3 scenes: 2 for training, 1 for tests" in done.stderr
    assert "maps per minute" in done.stderr
    assert read_bank(out).part("test").names == ("sky_1k.exr",)
    (found,) = json.loads(run(bank, "info", out, "--json").output)
    assert found["test_scenes"] == ["sky"]
    assert "lighting bank" in run(bank, "info", out).output
    for more, rows in (((), 1), (("--columns", 1), 3), (("--split", "train", "--columns", 1), 2), (("--first", 2), 1)):
        assert run(bank, "show", out, "-o", tmp_path / "s.png", "--overwrite", *more).exit_code == 0
        assert read_image(tmp_path / "s.png").shape[0] == rows * 132 - 4


def test_what_is_wrong_with_a_map_is_one_line(sky: Path, tmp_path: Path, refused) -> None:
    out = tmp_path / "o.exr"
    (tmp_path / "text.hdr").write_text("sunny")
    (tmp_path / "empty.exr").write_bytes(b"")
    write_exr(tmp_path / "black.exr", np.zeros((8, 16, 3), np.float32))
    write_exr(tmp_path / "inf.exr", np.full((8, 16, 3), np.inf, np.float32))
    write_exr(tmp_path / "nan.exr", np.full((8, 16, 3), np.nan, np.float32))
    write_exr(tmp_path / "square.exr", np.ones((100, 100, 3), np.float32))
    (tmp_path / "cut.exr").write_bytes(sky.read_bytes()[:3000])
    for name, message in (
        ("none.hdr", "cannot be read: No such file"), ("text.hdr", "not an image"), ("empty.exr", "the file is empty"),
        ("black.exr", "black everywhere"), ("inf.exr", "infinite values"), ("nan.exr", "every value is NaN"),
        ("square.exr", "perhaps a mirror ball"), ("cut.exr", "damaged"),
    ):
        line = refused("envmap", "downsample", tmp_path / name, "-o", out)
        assert message in line
        assert name in line
    assert "maps are written as .exr" in refused("envmap", "rotate", sky, "--yaw", 1, "-o", tmp_path / "o.png")
    out.write_text("precious")
    assert "o.exr" in refused("envmap", "downsample", sky, "-o", out)
    assert out.read_text() == "precious"


def test_what_is_wrong_with_lights_or_banks_is_one_line(sky: Path, tmp_path: Path, refused) -> None:
    import h5py

    (tmp_path / "ring.csv").write_text("id,x,y,z\n0,1,0,0\n1,-1,0,0\n2,0,0,1\n3,0,0,-1\n")
    show = ("envmap", "show", sky, "-o", tmp_path / "a.png", "--rig", tmp_path / "ring.csv", "--method", "barycentric")
    assert "4 lights in one plane" in refused(*show)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["format"], file.attrs["version"] = "olatkit-bank", 0
    for command in (("info",), ("show", "-o", tmp_path / "s.png")):
        line = refused("bank", command[0], tmp_path / "old.h5", *command[1:])
        assert "lighting bank of version 0, this olatkit reads version 1; build it again" in line
    assert "no such folder" in refused("bank", "build", tmp_path / "nowhere", "-o", tmp_path / "b.h5")
