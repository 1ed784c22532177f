"""Rendering writes the pictures that were asked for, with one exposure rule, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from fake_takes import SIZE, FakeTake, exr, known, lightings, linear, make_map, make_take, names, read_video

from olatkit.color import to_srgb8
from olatkit.envmap import EnvironmentMap
from olatkit.errors import CaptureError, ConfigError, OutputExistsError
from olatkit.imageset import Imageset
from olatkit.io.codes import decode, encode
from olatkit.io.images import read_exr, read_exr_header, read_picture, write_exr
from olatkit.jobs.lightings import MapSequence, MapSource, TrackLighting, read_track
from olatkit.jobs.render import render_take, take_exposure
from olatkit.jobs.shots import RenderConfig, plan_shots
from olatkit.render.relight import relight
from olatkit.render.tracks import LightTrack
from olatkit.render.weights import cell_areas, light_weights
from olatkit.rig import LightRig


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
    assert report.lost["sky"].shape == (1, 3)
    np.testing.assert_allclose(report.lost["sky"], 1 - caps, atol=0.01)
    assert report.cut == {}  # linear files cut nothing


def test_what_pictures_cut_above_white_is_counted(tmp_path: Path) -> None:
    take = make_take()
    cuts = []
    for number, stops in enumerate((-6.0, 0.0, 6.0)):
        config = RenderConfig(exposure_stops=stops, turntable=3, formats=("png",))
        report = render_take(take, [make_map()], tmp_path / str(number), config)
        cuts.append(report.cut["sky"])
        assert report.lost["sky"].shape == (3, 3)
        for path, (share, over) in zip(report.paths, report.cut["sky"], strict=True):
            codes = read_picture(path).max(axis=2)
            assert np.count_nonzero(codes == 255) >= share * np.count_nonzero(codes > 30) - 1
            assert (share > 0.01) <= (over > 0)
    assert not cuts[0].any()
    assert (cuts[2][:, 0] > 0.9).all()
    assert (cuts[2][:, 0] > cuts[1][:, 0]).all()
    # At the exposure that is advised, a hundredth of the pixels is left above white.
    over = cuts[2][:, 1].max()
    advised = render_take(take, [make_map()], tmp_path / "less", RenderConfig(exposure_stops=6 - over, turntable=3))
    assert advised.cut["sky"][:, 0].max() < 0.02


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
    for name, called in (("day", "'day'"), ("sky", "'sky' and 1 more")):  # of a folder, and of several maps
        sequence = MapSequence(name, (MapSource.of(make_map("sky")),) * 2)
        with pytest.raises(ConfigError, match=f"the take has 3 imagesets, the sequence of {called} has 2 maps"):
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
    ("lamps:\n- [", "not YAML: line 2, column 4: expected the node content, but found '<stream end>'$"),
    ("lamps: 2024-13-45", "not YAML: month"),
    ("maps: [{map: none.exr}]", r"red.yaml: map 'none.exr' is not there; .* the track, /.*one_line\d+$"),
    ("maps: [{map: a, brightness: 2}]", "unknown key 'maps.0.brightness'"),
    ("maps: [dawn.hdr]", "'maps.0' is 'dawn.hdr': expected keys and values"),
    ("", "red.yaml: is empty, expected a light track with the keys duration_s, maps, rotation, lamps, reference_luminance"),
    ("[]", "red.yaml: holds a list, expected a light track"),
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


@pytest.mark.parametrize("encoding", ["sqrt12", "float32"])
def test_a_stored_take_is_summed_as_it_is_stored(tmp_path: Path, encoding: str) -> None:
    made = make_take(count=2, light=0.8)
    box = (2, 3, 19, 20)
    stored = StoredImagesets(made, encoding, box)
    render_take(stored, [make_map()], tmp_path / "a.exr", RenderConfig(imageset=1))
    assert stored.asked == ["codes" if encoding == "sqrt12" else "box"]
    expected = np.zeros((SIZE, SIZE, 3), np.float32)
    weights = light_weights(make_map().downsample(16, 16), made.rig)
    expected[2:21, 3:23] = relight(stored.read_box(1), weights)
    np.testing.assert_allclose(read_exr(tmp_path / "a.exr"), expected, atol=1e-5 * expected.max())


class StoredImagesets:
    """The region of a take as it is read from disk, telling in which form it was asked for."""

    def __init__(self, take: FakeTake, encoding: str, box: tuple[int, int, int, int]) -> None:
        self.rig, self.encoding, self.box, self.shape = take.rig, encoding, box, (SIZE, SIZE)
        self._take, self.asked = take, []

    def __len__(self) -> int:
        return len(self._take)

    def __getitem__(self, index: int) -> Imageset:
        raise AssertionError("the whole frame was read")

    def _region(self, index: int) -> np.ndarray:
        top, left, h, w = self.box
        return np.ascontiguousarray(self._take.imagesets[index].radiance[:, top : top + h, left : left + w])

    def read_codes(self, index: int) -> np.ndarray:
        self.asked.append("codes")
        return encode(self._region(index))[0]

    def read_box(self, index: int) -> np.ndarray:
        self.asked.append("box")
        return decode(encode(self._region(index))[0]) if self.encoding == "sqrt12" else self._region(index)
