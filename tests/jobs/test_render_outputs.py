"""Backgrounds, balls, kinds of files, and runs that are interrupted."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from fake_takes import (
    SIZE,
    FakeTake,
    bright_take,
    known,
    linear,
    make_map,
    make_take,
    names,
    read_video,
)

from olatkit import __version__
from olatkit.color import to_srgb8
from olatkit.envmap import EnvironmentMap
from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.imageset import Imageset
from olatkit.io.describe import describe
from olatkit.io.images import read_exr, read_picture, write_exr, write_png
from olatkit.io.run_lock import running_alone
from olatkit.jobs import shots
from olatkit.jobs.lightings import TrackLighting
from olatkit.jobs.render import render_take
from olatkit.jobs.shots import RenderConfig
from olatkit.render.compose import find_matte, over
from olatkit.render.relight import relight
from olatkit.render.tracks import LightTrack
from olatkit.render.weights import cell_areas, light_weights
from olatkit.rig import LightRig, default_rig


def test_background_colour_shows_as_it_is_whatever_the_exposure(tmp_path: Path) -> None:
    for stops in (0, 2):
        config = RenderConfig(background="#4080c0", exposure_stops=stops)
        render_take(bright_take(), [make_map()], tmp_path / f"{stops}.png", config)
        picture = read_picture(tmp_path / f"{stops}.png").astype(int)
        assert np.abs(picture[:4] - [0x40, 0x80, 0xC0]).max() <= 1
    plain = render_take(bright_take(), [make_map()], tmp_path / "plain.png", RenderConfig())
    assert plain.paths
    np.testing.assert_array_equal(
        read_picture(tmp_path / "0.png")[9:15, 9:15], read_picture(tmp_path / "plain.png")[9:15, 9:15]
    )


def test_every_file_says_what_it_shows(tmp_path: Path) -> None:
    """Map, take, imageset, turn, exposure and version; PNG as texts, EXR as attributes, videos as a comment."""
    take = bright_take()
    take.path = tmp_path / "anna.olat.h5"
    config = RenderConfig(imageset=1, turntable=2, yaw_deg=30, exposure_stops=1, formats=("png", "exr", "mp4", "ffv1"))
    report = render_take(take, [make_map("Zürich")], tmp_path / "out", config)
    shared = {"environment": "Zürich", "take": "anna.olat.h5", "exposureStops": 1, "Software": f"olatkit {__version__}"}
    display = report.exposures["Zürich"]
    for path in report.paths:
        facts = {fact.key.removeprefix("tag_"): fact.value for fact in describe(path).facts if fact.key.startswith("tag_")}
        found = {key: facts[key] for key in shared}
        assert {**found, "exposureStops": float(found["exposureStops"])} == shared, path
        assert int(facts["imageset"]) == 1
        if path.suffix in (".png", ".exr"):
            assert float(facts["yawDegrees"]) == 30 + 180 * path.stem.endswith("1")
            assert int(facts["picture"]) == int(path.stem[-4:])
        assert ("displayFactor" in facts) == (path.suffix != ".exr")
        assert float(facts.get("displayFactor", display)) == display
    assert {path.suffix for path in report.paths} == {".png", ".exr", ".mp4", ".mkv"}


def test_a_still_tells_of_no_film_and_a_film_of_no_capture(tmp_path: Path) -> None:
    take = bright_take()
    take.imagesets[0].radiance[:, :4] = -0.01  # noise
    for name, config in (("a.exr", RenderConfig()), ("a.png", RenderConfig()), ("a.mkv", RenderConfig(turntable=2))):
        render_take(take, [make_map()], tmp_path / name, config)
    still, picture, film = ({fact.key: fact for fact in describe(tmp_path / f"a.{x}").facts} for x in ("exr", "png", "mkv"))
    for found in (still, picture):
        assert not {"tag_picture", "tag_yawDegrees", "light"} & found.keys()
        assert found["tag_environment"].value == "sky"
    assert still["negative_values"].text == f"{3 * 4 * SIZE} (noise is kept)"
    assert still["faulty_values"].text == "none"
    assert not {"levels", "white_balance", "transfer", "timestamps", "tag_picture"} & film.keys()
    assert film["frames"].value == 2
    # The same values without our tags are anyone's picture or capture.
    write_exr(tmp_path / "b.exr", read_exr(tmp_path / "a.exr"))
    anyone = {fact.key: fact for fact in describe(tmp_path / "b.exr").facts}
    assert anyone["faulty_values"].text == f"{3 * 4 * SIZE} negative"


def test_a_rendered_picture_twice_as_wide_as_high_is_no_map(tmp_path: Path) -> None:
    for tags, kind in (({"Software": "olatkit 0.1"}, "linear picture"), ({}, "environment map (lat-long)")):
        write_exr(tmp_path / "a.exr", np.ones((8, 16, 3), np.float32), attributes=tags, overwrite=True)
        assert describe(tmp_path / "a.exr").kind == kind


def test_background_picture_and_mattes_of_the_user(tmp_path: Path) -> None:
    behind = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    write_png(tmp_path / "behind.png", behind)
    for i in range(2):
        write_png(tmp_path / "mattes" / f"m{i}.png", np.full((SIZE, SIZE), 255 * (i == 1), np.uint8))
    config = RenderConfig(
        background=str(tmp_path / "behind.png"), matte=str(tmp_path / "mattes"), imageset="all", formats=("png",)
    )
    render_take(bright_take(), [make_map()], tmp_path / "out", config)
    np.testing.assert_allclose(read_picture(tmp_path / "out/sky_0000.png").astype(int), behind, atol=1)
    assert read_picture(tmp_path / "out/sky_0001.png")[:4].max() == 0
    with pytest.raises(ConfigError, match="2 mattes for a take of 3 imagesets"):
        render_take(bright_take(3), [make_map()], tmp_path / "three", config)


def test_the_map_behind_the_subject_turns_with_the_light(tmp_path: Path) -> None:
    take = bright_take()
    radiance = np.full((64, 128, 3), 0.2, np.float32)
    radiance[28:36, 60:68] = 3  # behind the subject
    sky = EnvironmentMap(radiance, "sky")
    for yaw in (0, 180):
        config = RenderConfig(background="map", fov_deg=150, yaw_deg=yaw)
        render_take(take, [sky], tmp_path / f"{yaw}.exr", config)
    matte = find_matte(relight(take.imagesets[0], np.repeat(cell_areas(take.rig)[:, None], 3, axis=1)))
    plain = linear(take, 0, sky)
    picture = read_exr(tmp_path / "180.exr")
    # Radiance over the take's exposure: what shows a white sky as white shows the subject at middle luminance.
    np.testing.assert_allclose(picture[0], 0.2 / 2.0, rtol=0.01)
    np.testing.assert_allclose(picture, over(linear(take, 0, sky.rotate(180)), matte, 0.1), rtol=0.02)
    behind = read_exr(tmp_path / "0.exr")
    edge = behind[10:14, 3]
    assert edge.min() >= 0.09
    np.testing.assert_allclose(behind[9:15, 9:15], plain[9:15, 9:15], rtol=1e-5)


def test_ball_shows_the_light_of_the_picture(tmp_path: Path) -> None:
    lamp = TrackLighting("right", LightTrack.model_validate({"lamps": [{"keys": [{"yaw_deg": 90}]}]}), ())
    for yaw, side in ((0, 1), (180, -1)):
        render_take(bright_take(), [lamp], tmp_path / f"{yaw}.png", RenderConfig(ball=True, yaw_deg=yaw))
        picture = read_picture(tmp_path / f"{yaw}.png").astype(float)
        assert picture.shape == (SIZE, SIZE + SIZE // 2, 3)
        for ball in (picture[:12, SIZE:], picture[12:, SIZE:]):
            assert side * (ball[:, 6:].sum() - ball[:, :6].sum()) > 0.3 * ball.sum()


@pytest.mark.parametrize("given, message", [
    ({"background": "#12"}, "'#12' is no colour"), ({"background": "none.png"}, "'none.png' is no picture"),
    ({"matte": "m.png"}, "--matte needs --background"), ({"fov_deg": 45}, "--fov needs --background map"),
    ({"fov_deg": 30, "background": "#102030"}, "--fov needs --background map"), ({"method": "magic"}, "method is 'magic'"),
    ({"half": True}, "--half is for EXR"), ({"multipart": True, "formats": ("png",)}, "--multipart is for EXR"),
    ({"formats": ("png", "png16")}, "png and png16 would have the same names"), ({"device": "abacus"}, "abacus"),
    ({"subject_m": (0, 0, 99)}, "is not inside rig"),
])
def test_settings_that_cannot_be(tmp_path: Path, given: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render_take(bright_take(), [make_map()], tmp_path / "out", RenderConfig(**given))
    assert not names(tmp_path)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jpg", "a.TIF", "a.hdr", "a.gif", "a.webm"])
def test_files_of_another_kind_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not written; end the name in one of \.png, \.exr, \.mp4, \.mov, \.mkv"):
        render_take(known(make_take()), [make_map()], tmp_path / name, RenderConfig())
    assert not names(tmp_path)


def test_a_folder_may_have_a_dot_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    render_take(known(make_take()), [make_map()], tmp_path / "a.png", RenderConfig())
    render_take(known(make_take()), [make_map()], tmp_path / "v1.2", RenderConfig())
    assert names(tmp_path / "a.png") == names(tmp_path / "v1.2") == ["sky_0000.png"]


def test_sixteen_bits_linear_codes_and_half_floats(tmp_path: Path) -> None:
    take = known(make_take(), 0.5)
    report = render_take(take, [make_map()], tmp_path / "a.png", RenderConfig(formats=("png16",), transfer="linear"))
    render_take(take, [make_map()], tmp_path / "a.exr", RenderConfig(half=True))
    expected = linear(take, 0, make_map())
    codes = read_picture(tmp_path / "a.png")
    assert codes.dtype == np.uint16
    shown = np.clip(expected * report.exposures["sky"], 0, 1) * 65535
    assert np.abs(codes - shown).max() <= 0.51
    assert read_exr(tmp_path / "a.exr").dtype == np.float16
    np.testing.assert_allclose(read_exr(tmp_path / "a.exr"), expected, rtol=2**-10, atol=1e-6)
    with pytest.raises(ConfigError, match="leave out --half"):
        render_take(take, [make_map(scale=1e9)], tmp_path / "b.exr", RenderConfig(half=True))


def test_multipart_file_holds_every_lighting_and_turn(tmp_path: Path) -> None:
    take, maps = known(make_take()), [make_map("a"), make_map("b", seed=1)]
    render_take(take, maps, tmp_path / "a.exr", RenderConfig(multipart=True, turntable=4))
    for name, map_ in zip("ab", maps, strict=True):
        for k in range(4):
            picture = read_exr(tmp_path / "a.exr", part=f"{name}_{k:04d}")
            np.testing.assert_allclose(picture, linear(take, 0, map_.rotate(90 * k)), rtol=1e-4, atol=1e-7)
    render_take(take, maps, tmp_path / "out", RenderConfig(multipart=True, imageset="all"))
    assert names(tmp_path / "out") == [f"imageset_{i:04d}.exr" for i in range(3)]
    np.testing.assert_allclose(read_exr(tmp_path / "out/imageset_0002.exr", part="b"), linear(take, 2, maps[1]), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_masters(tmp_path: Path, suffix: str) -> None:
    take = known(make_take(count=4), 0.5)
    report = render_take(take, [make_map()], tmp_path / f"a{suffix}", RenderConfig(imageset="all"))
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        film = np.stack([frame.to_ndarray(format="rgb48le") for frame in container.decode(video=0)])
        assert '"imageset": "all"' in " ".join(container.metadata.values())
    curve = to_srgb8(linear(take, 3, make_map()) * report.exposures["sky"])
    tolerance = 40 if suffix == ".mov" else 1  # ProRes halves the width of colour, which noise has plenty of
    assert np.abs(film[3] / 257.0 - curve).mean() <= tolerance


def test_bfloat16_and_torch_give_the_same_picture(tmp_path: Path) -> None:
    take = known(make_take())
    config = RenderConfig(turntable=3, formats=("exr",))
    for name, given in (("a", {}), ("b", {"precision": "bfloat16"}), ("c", {"device": "cpu:0"})):
        render_take(take, [make_map()], tmp_path / name, config.model_copy(update=given))
    for name, tolerance in (("b", 3 * 2**-8), ("c", 1e-5)):
        plain, other = (read_exr(tmp_path / folder / "sky_0000_0002.exr") for folder in ("a", name))
        np.testing.assert_allclose(other, plain, rtol=tolerance, atol=1e-6)


def test_another_rig(tmp_path: Path) -> None:
    take = known(make_take())
    turned = LightRig("turned", take.rig.directions[:, [2, 1, 0]] * [1, 1, -1])
    render_take(take, [make_map()], tmp_path / "a.exr", RenderConfig(), rig=turned)
    expected = relight(take.imagesets[0], light_weights(make_map().downsample(16, 16), turned))
    np.testing.assert_allclose(read_exr(tmp_path / "a.exr"), expected, rtol=1e-5)
    with pytest.raises(ConfigError, match="rig 'fibonacci-8' has 8 lights, the take has 20; leave out --rig"):
        render_take(take, [make_map()], tmp_path / "b.exr", RenderConfig(), rig=default_rig(8))


# -- interrupted runs ------------------------------------------------------------------------------------------------

RUN = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:2]
from fake_takes import *
from olatkit.jobs import shots
from olatkit.jobs.render import render_take
from olatkit.jobs.shots import RenderConfig
shots.SEGMENT = 4

class Killed(FakeTake):
    def __getitem__(self, index):
        if index == 10:
            os._exit(9)  # as a kill -9: nothing is tidied up
        return super().__getitem__(index)

take = make_take(count=13)
take = known(Killed(take.imagesets, take.rig))
render_take(take, [make_map(), make_map("b", 1)], Path(sys.argv[2]), RenderConfig(imageset="all", formats=("png", "mp4")))
"""


def test_a_killed_run_goes_on_and_gives_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shots, "SEGMENT", 4)
    config = RenderConfig(imageset="all", formats=("png", "mp4"))
    maps = [make_map(), make_map("b", 1)]
    killed = subprocess.run(
        [sys.executable, "-c", RUN, str(Path(__file__).parents[1]), str(tmp_path / "a")], check=False, capture_output=True
    )
    assert killed.returncode == 9, killed.stderr
    assert "render.parts" in names(tmp_path / "a")
    assert not list((tmp_path / "a").glob("*.mp4"))
    assert not list((tmp_path / "a").glob("*.part"))
    with pytest.raises(OutputExistsError, match="unfinished rendering with other settings"):
        render_take(known(make_take(count=13)), maps, tmp_path / "a", config.model_copy(update={"yaw_deg": 5}))
    again = known(make_take(count=13))
    report = render_take(again, maps, tmp_path / "a", config)
    assert report.kept == 2 * 8
    assert again.reads == 13 - 8
    render_take(known(make_take(count=13)), maps, tmp_path / "b", config)
    assert names(tmp_path / "a") == names(tmp_path / "b")
    for path in (tmp_path / "b").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes(), path.name
    # x264 in several threads does not always give the same bytes, but the same pictures to a few codes.
    films = [read_video(tmp_path / folder / "sky.mp4").astype(int) for folder in "ab"]
    assert len(films[0]) == len(films[1]) == 13
    assert np.abs(films[0] - films[1]).mean() < 1


def test_an_error_leaves_what_can_be_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shots, "SEGMENT", 2)
    take = known(make_take(count=5))
    good = take.imagesets[4]
    take.imagesets[4] = make_take(lights=5).imagesets[0]
    config = RenderConfig(imageset="all")
    with pytest.raises(ConfigError, match="5 lights"):
        render_take(take, [make_map()], tmp_path / "a.mp4", config)
    reads = take.reads
    assert names(tmp_path) == ["a.mp4.parts"]
    explained = describe(tmp_path / "a.mp4.parts")
    facts = {fact.key: fact for fact in explained.facts}
    assert explained.kind == "parts of an unfinished render"
    assert (facts["pictures_done"].value, facts["lightings"].value) == ([4, 5], ["sky"])
    assert facts["next"].text == "run the same render again: it goes on where it stopped"
    take.imagesets[4] = good
    told: list[tuple[int, int]] = []
    report = render_take(
        take, [make_map()], tmp_path / "a.mp4", config, resumed=lambda kept: told.append((kept, take.reads))
    )
    assert report.kept == 4
    assert told == [(4, reads)]  # before an imageset was read
    assert names(tmp_path) == ["a.mp4"]
    with pytest.raises(OutputExistsError, match=r"a\.mp4"):
        render_take(take, [make_map()], tmp_path / "a.mp4", config)


@pytest.mark.parametrize("out", ["a.mp4", "new/folder"])
def test_two_runs_never_write_one_output(tmp_path: Path, out: str) -> None:
    parts = tmp_path / ("a.mp4.parts" if out == "a.mp4" else "new/folder/render.parts")
    with running_alone(parts):
        for overwrite in (False, True):
            with pytest.raises(OutputExistsError, match="another run is writing there"):
                render_take(known(make_take()), [make_map()], tmp_path / out, RenderConfig(), overwrite=overwrite)
    assert names(tmp_path) == []
    render_take(known(make_take()), [make_map()], tmp_path / out, RenderConfig(imageset="all"))
    assert not parts.exists()


def test_overwrite_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shots, "SEGMENT", 2)
    take = known(make_take(count=5))
    bad = [*take.imagesets[:4], make_take(lights=5).imagesets[0]]
    with pytest.raises(ConfigError, match="5 lights"):
        render_take(known(FakeTake(bad, take.rig)), [make_map()], tmp_path / "a.mp4", RenderConfig(imageset="all"))
    other = RenderConfig(imageset="all", yaw_deg=90)
    report = render_take(take, [make_map()], tmp_path / "a.mp4", other, overwrite=True)
    assert report.kept == 0
    assert names(tmp_path) == ["a.mp4"]


def test_two_imagesets_are_in_memory_at_most(tmp_path: Path) -> None:
    import weakref

    alive: list[weakref.ref] = []
    peak = []

    class Counting(FakeTake):
        def __getitem__(self, index: int) -> Imageset:
            imageset = make_take(count=1).imagesets[0]
            alive.append(weakref.ref(imageset.radiance))
            peak.append(sum(ref() is not None for ref in alive))
            return imageset

        def __len__(self) -> int:
            return 12

    render_take(known(Counting([], default_rig(20))), [make_map()], tmp_path / "a.mp4", RenderConfig(imageset="all"))
    assert len(peak) == 12
    assert max(peak) <= 2


def render_with_matte(folder: Path, matte: str) -> None:
    config = RenderConfig(background="#000000", matte=str(folder / matte))
    render_take(bright_take(), [make_map()], folder / "a.png", config)


def test_damaged_mattes(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_bytes(b"no picture")
    with pytest.raises(FormatError, match=r"m\.png: not an image"):
        render_with_matte(tmp_path, "m.png")
    write_png(tmp_path / "small.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(FormatError, match=r"small\.png: the matte is 4x3, the take 24x24"):
        render_with_matte(tmp_path, "small.png")
    assert sorted(names(tmp_path)) == ["m.png", "small.png"]
