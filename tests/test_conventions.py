"""The golden numbers of docs/conventions.md."""

import numpy as np
import pytest

from olatkit.capture.crosstalk import invert_crosstalk
from olatkit.capture.windows import observe_slot, reference_ticks
from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions, row_solid_angles
from olatkit.render.relight import relight
from olatkit.render.weights import light_weights
from olatkit.rig import default_rig
from olatkit.schedule import default_114
from olatkit.vision.warp import warp


def test_direction_of_a_pixel() -> None:
    theta, phi = np.pi * 8.5 / 16, np.pi * (2 * 24.5 / 32 - 1)
    assert theta == pytest.approx(1.6690, abs=5e-5)
    assert phi == pytest.approx(1.6690, abs=5e-5)
    # Four printed digits.
    np.testing.assert_allclose(latlong_directions(16, 32)[8, 24], (0.9904, -0.0980, 0.0976), atol=1e-4)


def test_solid_angles() -> None:
    rows = row_solid_angles(16, 16)
    assert rows[0] == pytest.approx((1 - np.cos(np.pi / 16)) * 2 * np.pi / 16, rel=1e-12)
    assert rows[0] == pytest.approx(0.0075456, abs=5e-8)
    assert 16 * rows.sum() == pytest.approx(4 * np.pi, rel=1e-14)


def test_yaw_takes_light_from_the_camera_to_the_right() -> None:
    radiance = np.zeros((16, 32, 3), np.float32)
    radiance[8, 0] = 1  # beside the seam, +Z
    turned = EnvironmentMap(radiance).rotate(yaw_deg=90)
    np.testing.assert_array_equal(turned.radiance, np.roll(radiance, -8, axis=1))
    direction = latlong_directions(16, 32)[np.unravel_index(turned.radiance[..., 0].argmax(), (16, 32))]
    assert direction[0] > 0.97  # +X


def test_a_sphere_is_bright_on_the_side_that_the_turned_light_comes_from() -> None:
    rig = default_rig()
    y, x = np.mgrid[15:-16:-1, -15:16] / 16.0
    z = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    normals = np.stack([x, y, z], -1) * (x**2 + y**2 < 1)[..., None]
    sphere = np.clip(np.einsum("hwk,lk->lhw", normals, rig.directions), 0, None)
    sphere = np.repeat(sphere[..., None], 3, -1).astype(np.float32)
    radiance = np.zeros((16, 32, 3), np.float32)
    radiance[7:9, [0, -1]] = 1
    image = relight(sphere, light_weights(EnvironmentMap(radiance).rotate(yaw_deg=90), rig))
    left, right = image[:, :15].sum(), image[:, 16:].sum()
    assert right > 10 * left


@pytest.mark.parametrize(
    "frames, phase, first, last, count", [(6000, 0, 80, 5920, 147), (480, 37, 77, 397, 9)]
)
def test_windows_of_the_default_schedule(frames: int, phase: int, first: int, last: int, count: int) -> None:
    ticks = reference_ticks(0, frames - 1, default_114(), phase)
    assert (int(ticks[0]), int(ticks[-1]), len(ticks)) == (first, last, count)


@pytest.mark.parametrize("phase", range(0, 120, 7))
def test_six_seconds_give_147_imagesets_at_every_phase(phase: int) -> None:
    assert len(reference_ticks(0, 5999, default_114(), phase)) == 147


def test_blend_weights() -> None:
    seen = observe_slot(30, 1200, 120, 0, range(3000))
    assert (seen.after, seen.before, seen.weight_after) == (30, -90, 0.75)


def test_crosstalk() -> None:
    recorded = np.array([[0.9], [0.1], [0.0]])
    np.testing.assert_allclose(invert_crosstalk(recorded, 0.1, np.zeros(1)), [[1], [0], [0]], atol=1e-12)


def test_flow_points_from_the_reference_into_the_other_image() -> None:
    rng = np.random.default_rng(0)
    old = rng.random((24, 24)).astype(np.float32)
    new = np.roll(old, (1, 2), axis=(0, 1))  # content moved right by 2 and down by 1
    flow = np.broadcast_to(np.float32([2, 1]), (24, 24, 2)).copy()
    # Whole pixels are copied; the border repeats.
    np.testing.assert_allclose(warp(new, flow)[:-2, :-3], old[:-2, :-3], atol=1e-6)
