"""Light tracks say what light is when; lamps have the power that was asked for, at the place that was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from olatkit.color import decode_srgb, luminance
from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions, row_solid_angles
from olatkit.render.lights import Lamp, Light, MapShare, paint_lamps
from olatkit.render.mixer import MapMixer
from olatkit.render.tracks import LightTrack
from olatkit.render.weights import light_weights
from olatkit.rig import default_rig

RIG = default_rig(24)


def make_map(seed: int = 0, height: int = 40, width: int = 80) -> EnvironmentMap:
    return EnvironmentMap(np.random.default_rng(seed).exponential(1, (height, width, 3)).astype(np.float32), f"m{seed}")


MAPS = {"a": make_map(0), "b": make_map(1, 33, 66), "c": make_map(2, 16, 16)}


def mixer(**options) -> MapMixer:
    return MapMixer(MAPS.__getitem__, RIG, **options)


def track(**document) -> LightTrack:
    return LightTrack.model_validate(document)


# -- keys ------------------------------------------------------------------------------------------------------------


def test_red_light_from_the_left() -> None:
    red = track(lamps=[{"keys": [
        {"at_s": 1, "yaw_deg": -90, "color": [1, 0, 0], "intensity": 0}, {"at_s": 3, "intensity": 2},
    ]}])
    assert red.length_s == 3
    (start,), (half,), (end,) = (red.at(t).lamps for t in (0, 2, 9))
    assert (start.power, end.yaw_deg) == ((0, 0, 0), -90)
    np.testing.assert_allclose(half.power, (4 * np.pi, 0, 0))
    np.testing.assert_allclose(end.power, (8 * np.pi, 0, 0))
    np.testing.assert_allclose(half.direction, (-1, 0, 0), atol=1e-12)


@pytest.mark.parametrize("yaw, elevation, direction", [
    (0, 0, (0, 0, 1)), (90, 0, (1, 0, 0)), (180, 0, (0, 0, -1)), (0, 90, (0, 1, 0)), (123, -90, (0, -1, 0)),
])
def test_where_lamps_stand(yaw: float, elevation: float, direction: tuple[float, ...]) -> None:
    np.testing.assert_allclose(Lamp(yaw, elevation, 0, (1, 1, 1)).direction, direction, atol=1e-12)


def test_angles_turn_as_numbers_and_keep_turning() -> None:
    turns = track(maps=[{"map": "a"}], rotation=[{"yaw_deg": 350}, {"at_s": 2, "yaw_deg": 710, "roll_deg": 4}])
    assert [turns.at(t).rotation_deg for t in (0, 1, 2)] == [(350, 0, 0), (530, 0, 2), (710, 0, 4)]


def test_values_are_carried_on_until_another_is_given() -> None:
    keys = [{"yaw_deg": 30, "color": [0, 1, 0]}, {"at_s": 1, "elevation_deg": 10}, {"at_s": 2, "intensity": 3}]
    lamp = track(lamps=[{"keys": keys}]).at(5).lamps[0]
    assert (lamp.yaw_deg, lamp.elevation_deg) == (30, 10)
    np.testing.assert_allclose(lamp.power, (0, 12 * np.pi, 0))


def test_light_is_mixed_linearly_between_lamps_of_two_colours() -> None:
    keys = [{"color": [1, 0, 0], "intensity": 2}, {"at_s": 1, "color": [0, 0, 1], "intensity": 6}]
    fade = track(lamps=[{"keys": keys}])
    start, middle, end = (np.array(fade.at(t).lamps[0].power) for t in (0, 0.5, 1))
    np.testing.assert_allclose(middle, (start + end) / 2)


def test_maps_fade_and_cut() -> None:
    fade = track(maps=[{"map": "a"}, {"at_s": 2, "map": "b", "gain": 3}, {"at_s": 2, "map": "a", "luminance": 4}])
    assert fade.at(0).maps == (MapShare("a", 1, True),)
    assert fade.at(0.5).maps == (MapShare("a", 0.75, True), MapShare("b", 0.75, False))
    assert fade.at(2).maps == (MapShare("a", 4, True),)
    assert track(maps=[{"map": "a"}, {"at_s": 1, "map": "a", "luminance": 3}]).at(0.5).maps == (
        MapShare("a", 2, True),
    )


def test_colours_in_srgb_are_made_linear() -> None:
    lamp = track(lamps=[{"keys": [{"color": "#ff8000"}]}]).at(0).lamps[0]
    np.testing.assert_allclose(np.array(lamp.power) / 4 / np.pi, decode_srgb(np.array([255, 128, 0]) / 255))


@pytest.mark.parametrize("document, message", [
    ({}, "needs maps or lamps"),
    ({"maps": [{"map": "a", "at_s": 2}, {"map": "b", "at_s": 1}]}, "maps: a key at 1 s stands after one at 2 s"),
    ({"lamps": [{"name": "key", "keys": [{"at_s": 1}, {"at_s": 0.5}]}]}, r"lamps.0 \(key\): a key at 0.5 s"),
    ({"lamps": [{"keys": []}]}, "at least 1"),
    ({"lamps": [{"keys": [{"colour": "#ffffff"}]}]}, "colour"),
    ({"lamps": [{"keys": [{"color": "red"}]}]}, "'red' is no colour"),
    ({"lamps": [{"keys": [{"color": [1, -1, 0]}]}]}, "greater than or equal to 0"),
    ({"maps": [{"map": "a", "gain": float("inf")}]}, "finite"),
    ({"maps": [{"map": "a"}], "duration_s": 0}, "greater than 0"),
])
def test_wrong_tracks_are_named(document: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LightTrack.model_validate(document)


# -- lamps -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    yaw=st.floats(-400, 400), elevation=st.floats(-90, 90), size=st.floats(0, 360), height=st.integers(8, 70),
    width=st.integers(8, 70),
)
def test_a_painted_lamp_has_its_power_and_its_place(
    yaw: float, elevation: float, size: float, height: int, width: int
) -> None:
    lamp = Lamp(yaw, elevation, size, (1.0, 2.0, 0.5))
    picture = paint_lamps((lamp,), height, width)
    solid_angles = row_solid_angles(height, width)[:, None, None]
    np.testing.assert_allclose((picture * solid_angles).sum(axis=(0, 1)), lamp.power, rtol=1e-4)
    lit = latlong_directions(height, width)[picture[..., 0] > 0]
    pixel = max(np.pi / height, 2 * np.pi / width)
    reach = max(np.radians(size) / 2, pixel) + 0.5 * pixel
    assert np.arccos(np.clip(lit @ lamp.direction, -1, 1)).max() <= reach + 1e-6


def test_a_lamp_that_moves_a_little_changes_the_weights_a_little() -> None:
    at = [mixer().weights(Light(lamps=(Lamp(yaw, 5, 30, (1, 1, 1)),))) for yaw in np.arange(40, 60, 0.5)]
    steps = np.abs(np.diff(at, axis=0)).sum(axis=(1, 2))
    # A disc of 30 degrees loses and gains a crescent of half a degree, 2 x 0.5 / 30 x 4/π of its area.
    assert steps.max() < 3 * 0.15
    assert np.array(at).sum(axis=1) == pytest.approx(1, rel=1e-4)


# -- mixing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [0.0, 90.0, 37.3, -400.1])
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_weights_from_bands_are_those_of_the_turned_map(name: str, yaw: float) -> None:
    expected = light_weights(MAPS[name].rotate(yaw).downsample(16, 16), RIG)
    got = mixer().weights(Light((MapShare(name),)).turned(yaw))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_full_lighting_and_rotations_in_space() -> None:
    light = Light((MapShare("a", 2.0),), (20, 30, -10))
    turned = MAPS["a"].rotate(20, 30, -10)
    np.testing.assert_allclose(
        mixer(lighting="full").weights(light), 2 * light_weights(turned, RIG), rtol=1e-5, atol=1e-6
    )
    expected = 2 * light_weights(turned.downsample(16, 16), RIG)
    np.testing.assert_allclose(mixer().weights(light), expected, rtol=1e-5, atol=1e-6)


def test_light_adds_up() -> None:
    lamp = Lamp(10, 20, 40, (0, 3, 1))
    maps = MapShare("a", 0.5), MapShare("b", 2, normalized=True)
    for options in ({}, {"lighting": "full"}, {"method": "barycentric"}):
        m = mixer(**options)
        parts = [m.weights(Light((share,))) for share in maps] + [m.weights(Light(lamps=(lamp,)))]
        np.testing.assert_allclose(m.weights(Light(maps, lamps=(lamp,))), sum(parts), rtol=1e-5, atol=1e-7)


def test_normalized_maps_have_the_luminance_that_was_asked_for() -> None:
    m = mixer()
    light = Light((MapShare("b", 2.5, normalized=True),), lamps=(Lamp(0, 0, 10, (4 * np.pi, 0, 0)),))
    assert m.mean_luminance(light) == pytest.approx(2.5 + 0.2126, rel=1e-5)
    assert luminance(m.weights(light).sum(axis=0)) / 4 / np.pi == pytest.approx(2.5 + 0.2126, rel=1e-4)
    assert m.small_map(light).mean_luminance == pytest.approx(2.5 + 0.2126, rel=1e-3)


def test_lost_light_is_that_outside_the_cells() -> None:
    lamp = Lamp(0, 0, 0, (1, 1, 1))
    away = RIG.directions @ lamp.direction
    assert np.degrees(np.arccos(away.max())) > 9  # no lamp of the rig stands there
    assert mixer(max_angle_deg=5, lighting="full").lost_share(Light(lamps=(lamp,))) == pytest.approx(1)
    assert not mixer().lost_share(Light(lamps=(lamp,))).any()


def test_maps_are_read_when_needed_and_dropped() -> None:
    reads: list[str] = []

    def load(name: str) -> EnvironmentMap:
        reads.append(name)
        return make_map(int(name))

    m = MapMixer(load, RIG)
    for _ in range(2):
        for k in range(10):
            m.weights(Light((MapShare(str(k)),)))
    assert reads == [str(k) for k in range(10)]  # weights are kept, maps are not read again
    assert m._map.cache_info().currsize <= 4


def test_the_view_shows_the_turned_map_and_its_lamps() -> None:
    directions = latlong_directions(20, 40)
    yaw = 360 / 80 * 7  # whole columns, so that turning the map loses nothing
    seen = mixer().view(Light((MapShare("a", 3.0),), (yaw, 0, 0)), directions, 0.01)
    np.testing.assert_allclose(seen, 3 * MAPS["a"].rotate(yaw).look_up(directions), rtol=1e-3, atol=1e-4)
    lamp = Lamp(200, 0, 30, (1, 0, 0))
    lit = mixer().view(Light(lamps=(lamp,)), lamp.direction[None, None], 0.01)
    # A disc of 30 degrees has 0.214 sr.
    np.testing.assert_allclose(lit, [[[1 / (2 * np.pi * (1 - np.cos(np.radians(15)))), 0, 0]]], rtol=0.02)
