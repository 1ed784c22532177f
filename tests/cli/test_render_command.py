"""``olatkit render`` on the command line: exit codes, pixels, nothing overwritten."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tolerances import FLOAT32_EXACT

from olatkit.cli.render import METHODS, command
from olatkit.envmap import EnvironmentMap
from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.imageset import Imageset
from olatkit.io import takes
from olatkit.io.documents import write_rig
from olatkit.io.images import read_exr, read_picture, write_exr
from olatkit.render.relight import relight
from olatkit.render.weights import METHODS as WEIGHTS_METHODS
from olatkit.render.weights import light_weights
from olatkit.rig import default_rig


class OneImageset:
    """A take of one imageset in memory."""

    def __init__(self) -> None:
        self.rig = default_rig(12)
        radiance = np.random.default_rng(0).random((12, 10, 14, 3)).astype(np.float32)
        self.imageset = Imageset(radiance, radiance[0], 0.0, np.zeros(12, np.uint8))

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Imageset:
        return self.imageset


@pytest.fixture
def take(monkeypatch: pytest.MonkeyPatch) -> OneImageset:
    one = OneImageset()
    monkeypatch.setattr(takes, "open_take", lambda path: one)
    return one


@pytest.fixture
def sky(tmp_path: Path) -> EnvironmentMap:
    radiance = np.random.default_rng(1).exponential(1, (16, 32, 3)).astype(np.float32)
    write_exr(tmp_path / "sky.exr", radiance)
    return EnvironmentMap(radiance, "sky")


def run(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["take.olat.h5", "--envmap", str(tmp_path / "sky.exr"), *arguments])


def test_one_exr(tmp_path: Path, take: OneImageset, sky: EnvironmentMap) -> None:
    result = run(tmp_path, "-o", str(tmp_path / "a.exr"), "--lighting", "full", "--yaw", "45")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "a.exr")
    expected = relight(take.imageset, light_weights(sky.rotate(45), take.rig))
    np.testing.assert_allclose(read_exr(tmp_path / "a.exr"), expected, rtol=1e-6)


def test_default_is_a_png_and_its_exposure_is_printed(tmp_path: Path, take: OneImageset, sky: EnvironmentMap) -> None:
    result = run(tmp_path, "-o", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "sky: exposure x" in result.stderr
    assert read_picture(tmp_path / "out" / "sky_0000.png").shape == (10, 14, 3)


def test_existing_file_is_kept(tmp_path: Path, take: OneImageset, sky: EnvironmentMap) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    result = run(tmp_path, "-o", str(tmp_path / "a.png"))
    assert isinstance(result.exception, OutputExistsError)
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    assert run(tmp_path, "-o", str(tmp_path / "a.png"), "--overwrite").exit_code == 0
    assert read_picture(tmp_path / "a.png").shape == (10, 14, 3)


def test_partial_dome_reports_what_is_lost(tmp_path: Path, take: OneImageset, sky: EnvironmentMap) -> None:
    result = run(tmp_path, "-o", str(tmp_path / "a.exr"), "--max-angle", "10")
    assert "% of its light comes from where no lamp stands, and is left out" in result.stderr


def test_what_is_cut_above_white_is_told_with_a_remedy(tmp_path: Path, take: OneImageset, sky: EnvironmentMap) -> None:
    said = run(tmp_path, "-o", str(tmp_path / "a.png"), "--exposure", "5").stderr
    found = re.search(r"sky: (\d+) % of the subject is brighter than white and cut; EXR keeps it, --exposure (\S+)", said)
    assert found, said
    assert int(found[1]) > 50
    advised = ["--exposure", found[2], "--overwrite"]
    assert "brighter than white" not in run(tmp_path, "-o", str(tmp_path / "a.png"), *advised).stderr
    assert "brighter than white" not in run(tmp_path, "-o", str(tmp_path / "a.exr"), "--exposure", "5").stderr


@pytest.mark.parametrize("arguments, message", [
    (["--imageset", "last"], "neither an index"), (["--format", "gif"], "'gif' is not one of"),
    (["--turntable", "0"], "0"), (["--lighting", "8x8"], "8x8"), (["--fps", "0"], "fps"), (["--fov", "180"], "fov"),
    (["--subject", "1,2"], "'1,2' is no place"), (["--method", "magic"], "magic"), (["--transfer", "hlg"], "hlg"),
])
def test_wrong_usage(tmp_path: Path, sky: EnvironmentMap, arguments: list[str], message: str) -> None:
    result = run(tmp_path, "-o", str(tmp_path / "out"), *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_problems_with_the_data(tmp_path: Path, take: OneImageset, sky: EnvironmentMap) -> None:
    assert isinstance(run(tmp_path, "-o", str(tmp_path / "out"), "--imageset", "7").exception, ConfigError)
    assert "--fov needs --background map" in str(run(tmp_path, "-o", str(tmp_path / "out"), "--fov", "30").exception)
    (tmp_path / "sky.exr").write_bytes(b"no map")
    assert isinstance(run(tmp_path, "-o", str(tmp_path / "out")).exception, FormatError)
    assert not (tmp_path / "out").exists()


def test_help_tells_the_two_kinds_of_relighting_apart() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "A trained network for any video, `olatkit relight`" in " ".join(result.output.split())


def test_every_method_is_offered() -> None:
    assert set(METHODS) == set(WEIGHTS_METHODS)


def test_something_to_render_with_is_needed(tmp_path: Path) -> None:
    for arguments in ([], ["--sequence", "--track", "a.yaml"]):
        result = CliRunner().invoke(command, ["take.olat.h5", "-o", str(tmp_path / "out"), *arguments])
        assert result.exit_code == 2
        assert "--envmap" in result.stderr


def test_track_with_its_map_beside_it(tmp_path: Path, take: OneImageset, sky: EnvironmentMap) -> None:
    (tmp_path / "red.yaml").write_text("maps: [{map: sky.exr, gain: 2}]")
    arguments = ["take.olat.h5", "--track", str(tmp_path / "red.yaml"), "-o", str(tmp_path / "a.exr")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    expected = 2 * relight(take.imageset, light_weights(sky.downsample(16, 16), take.rig))
    np.testing.assert_allclose(read_exr(tmp_path / "a.exr"), expected, rtol=1e-5)


def test_folder_of_maps_one_by_one_and_as_a_sequence(tmp_path: Path, take: OneImageset) -> None:
    maps = tmp_path / "day"
    for k in (10, 9):
        write_exr(maps / f"sky{k}.exr", np.random.default_rng(k).random((16, 32, 3)).astype(np.float32))
    common = ["take.olat.h5", "--envmap", str(maps), "--format", "exr", "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(command, common).exit_code == 0
    assert CliRunner().invoke(command, [*common, "--sequence"]).exit_code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["day_0000_0000.exr", "day_0000_0001.exr", "sky10_0000.exr", "sky9_0000.exr"]
    for k, name in ((0, "sky9"), (1, "sky10")):
        # Many lightings at once are summed in another order than one.
        np.testing.assert_allclose(
            read_exr(tmp_path / f"out/day_0000_{k:04d}.exr"), read_exr(tmp_path / f"out/{name}_0000.exr"),
            rtol=FLOAT32_EXACT,
        )


def test_every_option_at_once(tmp_path: Path, take: OneImageset, sky: EnvironmentMap) -> None:
    write_rig(tmp_path / "rig.json", default_rig(12))
    result = run(
        tmp_path, "-o", str(tmp_path / "out"), "--rig", str(tmp_path / "rig.json"), "--background", "map", "--fov", "60",
        "--ball", "--format", "png16,ffv1,prores,mp4,exr", "--half", "--multipart", "--turntable", "3", "--method", "lobe",
        "--exposure", "1", "--transfer", "linear", "--center", "+z", "--up", "-y", "--flip", "--precision", "bfloat16",
    )
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "imageset_0000.exr", "sky_0000.mkv", "sky_0000.mov", "sky_0000.mp4",
        *(f"sky_0000_{k:04d}.png" for k in range(3)),
    ]
    assert read_picture(tmp_path / "out/sky_0000_0001.png").shape == (10, 14 + 5, 3)
    assert read_exr(tmp_path / "out/imageset_0000.exr", part="sky_0002").shape == (10, 14 + 5, 3)


def test_a_map_that_is_not_there(tmp_path: Path, take: OneImageset) -> None:
    result = run(tmp_path, "-o", str(tmp_path / "out"))
    assert isinstance(result.exception, FormatError)
    assert "sky.exr: no such file or folder, expected an environment map or a folder of them" in str(result.exception)
    assert not list(tmp_path.iterdir())
