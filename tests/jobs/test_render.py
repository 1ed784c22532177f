"""Rendering writes the pictures that were asked for, with one exposure rule, whole or not at all."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from olatkit.color import to_srgb8
from olatkit.envmap import EnvironmentMap
from olatkit.errors import CaptureError, ConfigError, FormatError, OutputExistsError
from olatkit.imageset import Imageset
from olatkit.io.images import read_exr, read_exr_header, read_picture, write_exr, write_png
from olatkit.io.run_lock import running_alone
from olatkit.jobs import shots
from olatkit.jobs.lightings import Lighting, MapSequence, MapSource, TrackLighting, read_track, standing_maps
from olatkit.jobs.render import render_take, take_exposure
from olatkit.jobs.shots import RenderConfig, plan_shots
from olatkit.render.compose import find_matte, over
from olatkit.render.relight import relight
from olatkit.render.tracks import LightTrack
from olatkit.render.weights import cell_areas, light_weights
from olatkit.rig import LightRig, default_rig

SIZE = 24


@dataclass
class FakeTake:
    """Imagesets in memory, counting how often each is read."""

    imagesets: list[Imageset]
    rig: LightRig
    reads: int = 0

    def __len__(self) -> int:
        return len(self.imagesets)

    def __getitem__(self, index: int) -> Imageset:
        self.reads += 1
        return self.imagesets[index]


def make_take(count: int = 3, lights: int = 20, light: float = 0.01) -> FakeTake:
    rig = default_rig(lights)
    rng = np.random.default_rng(0)
    imagesets = []
    for i in range(count):
        radiance = np.zeros((lights, SIZE, SIZE, 3), np.float32)
        radiance[:, 4:20, 4 + i : 20] = rng.random((lights, 16, 16 - i, 3)) * light
        imagesets.append(Imageset(radiance, radiance.sum(axis=0), i / 25, np.zeros(lights, np.uint8)))
    return FakeTake(imagesets, rig)


def make_map(name: str = "sky", seed: int = 0, scale: float = 1.0) -> EnvironmentMap:
    radiance = np.random.default_rng(seed).exponential(scale, (32, 64, 3)).astype(np.float32)
    return EnvironmentMap(radiance, name)


def lightings(*names: str) -> list[Lighting]:
    return standing_maps([MapSource.of(make_map(name)) for name in names])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_video(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_exr_is_the_plain_olat_sum_of_the_16x16_lighting(tmp_path: Path) -> None:
    take, sky = make_take(), make_map()
    report = render_take(take, [sky], tmp_path / "a.exr", RenderConfig(imageset=1))
    expected = relight(take.imagesets[1], light_weights(sky.downsample(16, 16), take.rig))
    np.testing.assert_allclose(read_exr(tmp_path / "a.exr"), expected, rtol=1e-6)
    assert report.paths == (tmp_path / "a.exr",)
    assert report.exposures == {}
    header = read_exr_header(tmp_path / "a.exr")
    assert (header["environment"], header["imageset"], header["lighting"]) == ("sky", 1, "16x16")


def test_full_lighting_yaw_and_stops(tmp_path: Path) -> None:
    take, sky = make_take(), make_map()
    config = RenderConfig(lighting="full", yaw_deg=90, exposure_stops=2)
    render_take(take, [sky], tmp_path / "a.exr", config)
    expected = 4 * relight(take.imagesets[0], light_weights(sky.rotate(yaw_deg=90), take.rig))
    np.testing.assert_allclose(read_exr(tmp_path / "a.exr"), expected, rtol=1e-6)


def test_png_has_the_take_exposure_over_the_mean_luminance_of_the_map(tmp_path: Path) -> None:
    take, sky = make_take(), make_map()
    report = render_take(take, [sky], tmp_path / "a.png", RenderConfig(exposure_stops=-1))
    factor = take_exposure(take) / sky.mean_luminance / 2
    assert report.exposures["sky"] == pytest.approx(factor)
    linear = relight(take.imagesets[0], light_weights(sky.downsample(16, 16), take.rig))
    difference = read_picture(tmp_path / "a.png").astype(int) - to_srgb8(linear * factor)
    assert np.abs(difference).max() <= 1  # rounding at a code's edge


def test_brightness_of_map_and_camera_do_not_change_the_png(tmp_path: Path) -> None:
    for i, (scale, light) in enumerate([(1, 0.01), (64, 0.01), (1, 0.32)]):
        render_take(make_take(light=light), [make_map(scale=scale)], tmp_path / f"{i}.png", RenderConfig())
    pictures = [read_picture(tmp_path / f"{i}.png").astype(int) for i in range(3)]
    assert pictures[0].max() > 100
    assert max(np.abs(picture - pictures[0]).max() for picture in pictures) <= 1


def test_white_sky_shows_the_foreground_at_middle_luminance() -> None:
    take = make_take()
    white = np.repeat(cell_areas(take.rig)[:, None], 3, axis=1)
    picture = relight(take.imagesets[1], white)[4:20, 5:20] @ [0.2126, 0.7152, 0.0722]
    assert np.median(picture) * take_exposure(take) == pytest.approx(0.25, rel=0.05)


def test_a_take_that_brings_its_exposure_is_believed(tmp_path: Path) -> None:
    take = make_take()
    take.kappa = 3.5  # type: ignore[attr-defined]
    assert take_exposure(take) == 3.5
    assert take.reads == 0


def test_turntable_video_turns_the_light_and_reads_the_imageset_once_per_pass(tmp_path: Path) -> None:
    take, sky = make_take(), make_map()
    done: list[tuple[int, int]] = []
    config = RenderConfig(turntable=20, formats=("mp4", "exr"), fps=30)
    take.kappa = 1.0  # type: ignore[attr-defined]
    render_take(take, [sky], tmp_path / "out", config, progress=lambda *step: done.append(step))
    assert done == [(i + 1, 20) for i in range(20)]
    assert take.reads == 1
    assert names(tmp_path / "out") == ["sky_0000.mp4", *(f"sky_0000_{k:04d}.exr" for k in range(20))]
    assert len(read_video(tmp_path / "out" / "sky_0000.mp4")) == 20
    quarter = relight(take.imagesets[0], light_weights(sky.rotate(90).downsample(16, 16), take.rig))
    np.testing.assert_allclose(read_exr(tmp_path / "out" / "sky_0000_0005.exr"), quarter, rtol=1e-5)


def test_moving_take_under_two_maps(tmp_path: Path) -> None:
    take = make_take(count=4)
    take.kappa = 1.0  # type: ignore[attr-defined]
    maps = [make_map("sky"), make_map("sky", seed=1)]
    report = render_take(take, maps, tmp_path / "out", RenderConfig(imageset="all", turntable=8))
    assert names(tmp_path / "out") == ["sky-2.mp4", "sky.mp4"]
    assert {path.name for path in report.paths} == {"sky-2.mp4", "sky.mp4"}
    assert take.reads == 4
    assert read_video(tmp_path / "out" / "sky.mp4").shape == (4, SIZE, SIZE, 3)


@pytest.mark.parametrize("config, out, expected", [
    (RenderConfig(), "out", ["a_0000.png", "b_0000.png"]),
    (RenderConfig(imageset=2, formats=("png", "exr")), "out",
     ["a_0002.png", "a_0002.exr", "b_0002.png", "b_0002.exr"]),
    (RenderConfig(turntable=3), "out", ["a_0000.mp4", "b_0000.mp4"]),
    (RenderConfig(turntable=2, formats=("png",)), "out",
     ["a_0000_0000.png", "a_0000_0001.png", "b_0000_0000.png", "b_0000_0001.png"]),
    (RenderConfig(imageset="all"), "out", ["a.mp4", "b.mp4"]),
])
def test_names_of_outputs(config: RenderConfig, out: str, expected: list[str]) -> None:
    shots = [shot for chunk in plan_shots(4, lightings("a", "b"), Path(out), config) for shot in chunk]
    files = dict.fromkeys(
        path.name for shot in shots for path in (*(s.path for s in shot.stills), *(v for v, _ in shot.videos))
    )
    assert list(files) == expected


def test_turning_angles() -> None:
    (still,) = plan_shots(3, lightings("a"), Path("o"), RenderConfig(turntable=4, yaw_deg=10))
    assert [shot.yaw_deg for shot in still] == [10, 100, 190, 280]
    (moving,) = plan_shots(3, lightings("a"), Path("o"), RenderConfig(imageset="all", turntable=4))
    assert [(shot.imageset, shot.yaw_deg) for shot in moving] == [(0, 0), (1, 90), (2, 180)]


@pytest.mark.parametrize("config, out, message", [
    (RenderConfig(imageset=3), "out", "imageset 3 is not in the take, expected 0 ... 2"),
    (RenderConfig(turntable=5), "a.png", "a.png is one file, but 5 are to be written"),
    (RenderConfig(formats=("exr",)), "a.png", "a.png is one png file, but exr is asked for"),
])
def test_impossible_plans(tmp_path: Path, config: RenderConfig, out: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render_take(make_take(), [make_map()], tmp_path / out, config)
    assert not names(tmp_path)


def test_existing_outputs_stop_the_work_before_it_begins(tmp_path: Path) -> None:
    take = make_take()
    (tmp_path / "sky_0000_0001.exr").write_bytes(b"mine")
    config = RenderConfig(turntable=3, formats=("exr",))
    with pytest.raises(OutputExistsError, match=r"sky_0000_0001\.exr"):
        render_take(take, [make_map()], tmp_path, config)
    assert take.reads == 0
    assert (tmp_path / "sky_0000_0001.exr").read_bytes() == b"mine"
    assert names(tmp_path) == ["sky_0000_0001.exr"]
    render_take(take, [make_map()], tmp_path, config, overwrite=True)
    assert read_exr(tmp_path / "sky_0000_0001.exr").shape == (SIZE, SIZE, 3)


def test_a_failure_half_way_leaves_no_half_video(tmp_path: Path) -> None:
    take = make_take(count=4)
    take.kappa = 1.0  # type: ignore[attr-defined]
    take.imagesets[2] = make_take(lights=5).imagesets[0]
    with pytest.raises(ConfigError, match="the take has 5 lights, its rig 'fibonacci-20' has 20"):
        render_take(take, [make_map()], tmp_path, RenderConfig(imageset="all"))
    assert not names(tmp_path)


def test_light_that_no_lamp_covers_is_reported(tmp_path: Path) -> None:
    take = make_take()
    report = render_take(take, [make_map()], tmp_path / "a.exr", RenderConfig(max_angle_deg=5))
    caps = 20 * (1 - np.cos(np.radians(5))) / 2
    np.testing.assert_allclose(report.lost["sky"], 1 - caps, atol=0.01)


def test_what_cannot_be_rendered(tmp_path: Path) -> None:
    take = make_take()
    with pytest.raises(ConfigError, match="no environment map"):
        render_take(take, [], tmp_path / "a.exr", RenderConfig())
    dead = FakeTake(take.imagesets, LightRig("dead", take.rig.directions, enabled=np.zeros(20, bool)))
    with pytest.raises(ConfigError, match="rig 'dead' has no enabled light"):
        render_take(dead, [make_map()], tmp_path / "a.exr", RenderConfig())
    with pytest.raises(CaptureError, match="black under a white sky"):
        render_take(make_take(light=0), [make_map()], tmp_path / "a.png", RenderConfig())
    assert not names(tmp_path)


# -- light that changes ----------------------------------------------------------------------------------------------


def known(take: FakeTake, kappa: float = 1.0) -> FakeTake:
    take.kappa = kappa  # type: ignore[attr-defined]
    return take


def exr(**given) -> RenderConfig:
    return RenderConfig(formats=("exr",), **given)


def linear(take: FakeTake, index: int, environment: EnvironmentMap) -> np.ndarray:
    return relight(take.imagesets[index], light_weights(environment.downsample(16, 16), take.rig))


@pytest.mark.parametrize("imageset", ["all", 1])
def test_sequence_lights_one_picture_after_another(tmp_path: Path, imageset: str | int) -> None:
    take, maps = known(make_take(count=3)), [make_map(seed=k) for k in range(3)]
    sequence = MapSequence("day", tuple(MapSource.of(m) for m in maps))
    report = render_take(take, [sequence], tmp_path, exr(imageset=imageset))
    assert len(report.paths) == 3
    for k, path in enumerate(report.paths):
        assert path.name == (f"day_{k:04d}.exr" if imageset == "all" else f"day_0001_{k:04d}.exr")
        expected = linear(take, k if imageset == "all" else 1, maps[k])
        np.testing.assert_allclose(read_exr(path), expected, rtol=1e-5, atol=1e-7)


def test_sequence_has_one_exposure_so_that_nothing_flickers(tmp_path: Path) -> None:
    take = known(make_take(), 2.0)
    sequence = MapSequence("day", tuple(MapSource.of(make_map(scale=s)) for s in (1, 8)))
    report = render_take(take, [sequence], tmp_path, RenderConfig(formats=("png",)))
    mean = np.mean([make_map(scale=s).mean_luminance for s in (1, 8)])
    assert report.exposures["day"] == pytest.approx(2.0 / mean, rel=1e-5)


def test_sequence_and_take_of_other_lengths(tmp_path: Path) -> None:
    sequence = MapSequence("day", (MapSource.of(make_map()),) * 2)
    with pytest.raises(ConfigError, match="the take has 3 imagesets, the sequence 'day' 2 maps"):
        render_take(make_take(), [sequence], tmp_path, RenderConfig(imageset="all"))
    assert not names(tmp_path)


TRACK = """
duration_s: 0.2
maps: [{map: sky.exr, gain: 1}, {at_s: 0.1, map: sky.exr, gain: 3}]
rotation: [{yaw_deg: 0}, {at_s: 0.1, yaw_deg: 90}]
lamps:
  - {name: red, keys: [{at_s: 0.1, yaw_deg: -90, color: [1, 0, 0], intensity: 0, size_deg: 30}, {at_s: 0.2, intensity: 1}]}
"""


def open_map(path: Path) -> MapSource:
    return MapSource(path.stem, lambda: EnvironmentMap(read_exr(path), path.stem), str(path))


def test_light_track_is_the_light_that_is_written_down(tmp_path: Path) -> None:
    take, sky = known(make_take(count=5)), make_map()
    write_exr(tmp_path / "sky.exr", sky.radiance)
    (tmp_path / "red.yaml").write_text(TRACK)
    track = read_track(tmp_path / "red.yaml", open_map)
    render_take(take, [track], tmp_path / "out", exr(imageset="all", fps=20))
    for k, (gain, yaw, red) in enumerate([(1, 0, 0), (2, 45, 0), (3, 90, 0), (3, 90, 0.5), (3, 90, 1)]):
        turned = EnvironmentMap(sky.rotate(yaw).radiance * gain)
        expected = linear(take, k, turned)
        if red:
            lamp = TrackLighting("x", LightTrack.model_validate({"lamps": [{"keys": [
                {"yaw_deg": -90, "color": [red, 0, 0], "size_deg": 30}]}]}), ())
            render_take(take, [lamp], tmp_path / "lamp", exr(imageset=k))
            expected = expected + read_exr(tmp_path / "lamp" / f"x_{k:04d}.exr")
            (tmp_path / "lamp" / f"x_{k:04d}.exr").unlink()
        np.testing.assert_allclose(read_exr(tmp_path / "out" / f"red_{k:04d}.exr"), expected, rtol=1e-4, atol=1e-7)


def test_track_on_one_imageset_is_as_long_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "red.yaml").write_text("lamps: [{keys: [{intensity: 0}, {at_s: 0.5, intensity: 1}]}]")
    track = read_track(tmp_path / "red.yaml", open_map)
    render_take(known(make_take()), [track], tmp_path / "a.mp4", RenderConfig(fps=24))
    film = read_video(tmp_path / "a.mp4")
    assert len(film) == 12
    assert film[0].max() <= 20
    assert film[-1].max() > 60


@pytest.mark.parametrize("text, message", [
    ("lamps: [", "not YAML"), ("maps: [{map: none.exr}]", r"red.yaml: map 'none.exr' is not there"),
    ("maps: [{map: a, brightness: 2}]", "unknown key 'maps.0.brightness'"), ("[]", "valid dictionary"),
    ("lamps: [{keys: [{color: red}]}]", "'lamps.0.keys.0.color': 'red' is no colour"),
    ("lamps: [{keys: [{yaw_deg: left}]}]", "'lamps.0.keys.0.yaw_deg' is 'left'"),
    ("duration_s: 1", "needs maps or lamps"),
])
def test_wrong_tracks_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "red.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_track(tmp_path / "red.yaml", open_map)
    assert "\n" not in str(caught.value)


def test_a_track_without_light_has_no_exposure(tmp_path: Path) -> None:
    dark = TrackLighting("dark", LightTrack.model_validate({"lamps": [{"keys": [{"intensity": 0}]}]}), ())
    with pytest.raises(ConfigError, match="'dark' is dark at all times"):
        render_take(known(make_take()), [dark], tmp_path / "a.png", RenderConfig())
    assert not names(tmp_path)


# -- backgrounds and balls -------------------------------------------------------------------------------------------


def bright_take(count: int = 2) -> FakeTake:
    """A bright square before black, of which a matte can be found."""
    take = known(make_take(count), 2.0)
    for imageset in take.imagesets:
        imageset.radiance[:] = 0
        imageset.radiance[:, 6:18, 6:18] = 0.05
    return take


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
    ({"matte": "m.png"}, "--matte needs --background"), ({"method": "magic"}, "method is 'magic'"),
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
    with pytest.raises(ConfigError, match="rig 'fibonacci-8' has 8 lights, the take has 20"):
        render_take(take, [make_map()], tmp_path / "b.exr", RenderConfig(), rig=default_rig(8))


# -- interrupted runs ------------------------------------------------------------------------------------------------

RUN = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:2]
from test_render import *
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
        [sys.executable, "-c", RUN, str(Path(__file__).parent), str(tmp_path / "a")], check=False, capture_output=True
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
    assert names(tmp_path) == ["a.mp4.parts"]
    take.imagesets[4] = good
    assert render_take(take, [make_map()], tmp_path / "a.mp4", config).kept == 4
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
