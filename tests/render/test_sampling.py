"""Training lightings: the distributions G and H, Beta mixing, Eq. 9, and the same numbers on NumPy and torch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions
from olatkit.render.sampling import (
    LightingDraw,
    LightingSampler,
    SamplingConfig,
    draw_lightings,
    mean_luminance,
    point_light_maps,
    turning_matrices,
)

rng = np.random.default_rng(7)
MAPS = rng.gamma(0.5, 2, (4, 32, 64, 3)).astype(np.float32)
SAMPLER = LightingSampler(MAPS)


def test_the_same_seed_gives_the_same_lightings_and_another_seed_others() -> None:
    first, again, other = (SAMPLER.sample(np.random.default_rng(seed), 3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.light_k, again.light_k)
    assert np.abs(first.light_k - other.light_k).max() > 0.1
    assert first.light_k.shape == (3, 16, 16, 3)
    assert first.light_k.dtype == np.float32


@pytest.mark.parametrize("yaw_deg", [0.0, 90.0, -45.0, 37.3, 359.99, 5.625])
def test_turned_maps_are_those_of_the_map_itself(yaw_deg: float) -> None:
    found = SAMPLER.turned_maps(np.array([2]), np.array([yaw_deg]))[0]
    turned = EnvironmentMap(MAPS[2]).rotate(yaw_deg).downsample(16, 16)
    np.testing.assert_allclose(found, turned.radiance / EnvironmentMap(MAPS[2]).mean_luminance, atol=1e-5)


def test_a_positive_turn_takes_light_from_the_camera_to_the_right() -> None:
    camera = np.full((1, 64, 128, 3), 1e-6)
    camera[0, 30:34, [0, -1]] = 1  # the seam is +Z
    turned = LightingSampler(camera).turned_maps(np.array([0]), np.array([90.0]))[0, ..., 0]
    right = latlong_directions(16, 16)[..., 0]
    assert (turned * right).sum() / turned.sum() > 0.9


@given(st.integers(1, 70), st.floats(-720, 720))
def test_turning_keeps_the_light_of_every_column(width: int, yaw_deg: float) -> None:
    matrix = turning_matrices(width, np.array([yaw_deg]))[0]
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-9)  # a uniform map stays as it is
    np.testing.assert_allclose(matrix.sum(axis=0), 16 / width, atol=1e-9)  # no column gains or loses


def test_maps_of_any_exposure_get_mean_luminance_one() -> None:
    scaled = LightingSampler(MAPS * np.array([1e-3, 1, 40, 3000])[:, None, None, None])
    drawn = scaled.sample(np.random.default_rng(0), 20)
    np.testing.assert_allclose(mean_luminance(drawn.light_i), 1, rtol=1e-5)
    np.testing.assert_allclose(mean_luminance(drawn.light_j), 1, rtol=1e-5)


def test_equation_nine_line_by_line() -> None:
    draw = draw_lightings(np.random.default_rng(3), 5, 4)
    found = SAMPLER.triplets(draw)
    x = [SAMPLER.turned_maps(draw.maps[:, n], draw.yaw_deg[:, n]) for n in range(3)]
    beta = draw.beta[:, :, None, None, None]
    light_j = beta[:, 0] * x[0] + (1 - beta[:, 0]) * x[1]
    light_k = beta[:, 1] * light_j + (1 - beta[:, 1]) * x[2] + SAMPLER.point_lights(draw)
    np.testing.assert_array_equal(found.light_i, x[0])
    np.testing.assert_allclose(found.light_j, light_j, atol=1e-5)
    np.testing.assert_allclose(found.light_k, light_k, atol=1e-5)


def test_without_mixing_the_three_are_maps_as_they_are() -> None:
    plain = LightingSampler(MAPS, SamplingConfig(mixing=False))
    draw = draw_lightings(np.random.default_rng(3), 5, 4)
    found = plain.triplets(draw)
    for n, light in enumerate((found.light_i, found.light_j, found.light_k)):
        np.testing.assert_array_equal(light, plain.turned_maps(draw.maps[:, n], draw.yaw_deg[:, n]))


def test_exposure_scales_the_whole_triplet() -> None:
    bright = LightingSampler(MAPS, SamplingConfig(exposure_stops=2))
    drawn = bright.sample(np.random.default_rng(5), 50)
    exposure = mean_luminance(drawn.light_i)
    assert 0.25 <= exposure.min() < 0.5
    assert 2 < exposure.max() <= 4
    np.testing.assert_allclose(mean_luminance(drawn.light_j), exposure, rtol=1e-5)


def test_mixing_weights_follow_the_arcsine_law() -> None:
    beta = draw_lightings(np.random.default_rng(11), 50_000, 1).beta
    assert beta.mean() == pytest.approx(0.5, abs=0.01)
    assert beta.var() == pytest.approx(1 / 8, abs=0.005)
    # P(β < x) = 2/π asin √x
    assert (beta < 0.1).mean() == pytest.approx(2 / np.pi * np.arcsin(0.1**0.5), abs=0.01)
    assert abs(np.corrcoef(beta.T)[0, 1]) < 0.02


def test_point_lights_follow_their_distributions() -> None:
    draw = draw_lightings(np.random.default_rng(13), 30_000, 1)
    present = draw.colours.any(axis=-1)
    np.testing.assert_allclose(np.bincount(present.sum(axis=1), minlength=4)[1:] / 30_000, 1 / 3, atol=0.02)
    radius = np.linalg.norm(draw.points, axis=-1)
    assert 1.05 <= radius.min() < 1.06
    assert 2.49 < radius.max() <= 2.5
    assert radius.mean() == pytest.approx(1 + (0.05 + 1.5) / 2, abs=0.01)
    np.testing.assert_allclose((draw.points / radius[..., None]).mean(axis=(0, 1)), 0, atol=0.01)
    np.testing.assert_allclose(draw.colours[present].mean(axis=0), 0.5, atol=0.01)
    assert 0.2 <= draw.level.min() < draw.level.max() <= 1.0


def test_distance_from_the_centre_is_the_other_reading() -> None:
    config = SamplingConfig(distance="center")
    radius = np.linalg.norm(draw_lightings(np.random.default_rng(0), 2000, 1, config).points, axis=-1)
    assert radius.max() <= 1.5
    assert radius.min() >= 1.05


@pytest.mark.parametrize(("gap", "half_angle_deg"), [(0.05, 17.8), (0.3, 39.7), (0.75, 55.2), (1.5, 66.4)])
def test_a_point_light_lights_its_cap_and_nothing_else(gap: float, half_angle_deg: float) -> None:
    normals = latlong_directions(64, 128).reshape(-1, 3)
    towards = np.array([0.6, 0.0, 0.8])
    light = point_light_maps((1 + gap) * towards[None, None], np.ones((1, 1, 3)), normals)[0, :, 0]
    angle_deg = np.degrees(np.arccos(np.clip(normals @ towards, -1, 1)))
    assert half_angle_deg == pytest.approx(np.degrees(np.arccos(1 / (1 + gap))), abs=0.1)
    assert (light[angle_deg > half_angle_deg + 0.1] == 0).all()
    assert (light[angle_deg < half_angle_deg - 0.1] > 0).all()
    nearest = point_light_maps((1 + gap) * towards[None, None], np.ones((1, 1, 3)), towards[None])
    np.testing.assert_allclose(nearest, 1)  # whatever the distance


def test_point_lights_against_a_loop() -> None:
    draw = draw_lightings(np.random.default_rng(17), 2, 1)
    normals = latlong_directions(4, 8).reshape(-1, 3)
    expected = np.zeros((2, len(normals), 3))
    for b, p, s in np.ndindex(2, len(normals), 3):
        to_light = draw.points[b, s] - normals[p]
        length = np.linalg.norm(to_light)
        gap = np.linalg.norm(draw.points[b, s]) - 1
        cosine = max(0.0, float(normals[p] @ to_light) / length)
        expected[b, p] += draw.colours[b, s] * cosine * (gap / length) ** 2
    np.testing.assert_allclose(point_light_maps(draw.points, draw.colours, normals), expected, atol=1e-12)


def test_point_lights_share_the_drawn_level() -> None:
    draw = draw_lightings(np.random.default_rng(19), 40, 4)
    light = SAMPLER.point_lights(draw)
    assert light.min() >= 0
    np.testing.assert_allclose(mean_luminance(light), draw.level, rtol=1e-5)


def test_torch_makes_the_same_lightings() -> None:
    torch = pytest.importorskip("torch")
    draw = draw_lightings(np.random.default_rng(23), 6, 4)
    expected, found = SAMPLER.triplets(draw), SAMPLER.to("cpu").triplets(draw)
    for name in ("light_i", "light_j", "light_k"):
        value = getattr(found, name)
        assert value.dtype == torch.float32
        np.testing.assert_allclose(value.numpy(), getattr(expected, name), rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_the_gpu_makes_the_same_lightings(cuda: str) -> None:
    draw = draw_lightings(np.random.default_rng(23), 64, 4)
    found = SAMPLER.to(cuda).triplets(draw).light_k
    assert found.is_cuda
    np.testing.assert_allclose(found.cpu().numpy(), SAMPLER.triplets(draw).light_k, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.ones((16, 16, 3)), r"shape \(16, 16, 3\)"),
        (np.ones((0, 16, 16, 3)), "at least one map"),
        (-np.ones((1, 16, 16, 3)), "negative"),
        (np.stack([np.ones((16, 16, 3)), np.zeros((16, 16, 3))]), "map 1 is black"),
    ],
)
def test_a_bank_that_cannot_be_used_is_refused(maps: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LightingSampler(maps)


@pytest.mark.parametrize("settings", [{"level": (1, 0.5)}, {"nearest": 2}, {"distance": "center", "farthest": 1}])
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SamplingConfig.model_validate(settings)


def test_the_draw_is_a_plain_record() -> None:
    draw = draw_lightings(np.random.default_rng(0), 2, 9)
    assert isinstance(draw, LightingDraw)
    assert draw.maps.max() < 9
