"""Composites are linear: what covers all hides the background, what covers nothing is the background."""

import numpy as np
import pytest

from olatkit.envmap import EnvironmentMap
from olatkit.render.compose import BALL_REFLECTANCE, beside_balls, camera_directions, fill_frame, find_matte, over
from olatkit.render.lighting_ball import LightingBall


def soft_disc(size: int = 96) -> np.ndarray:
    """Coverage of a disc, exact to a sixteenth."""
    axis = (np.arange(4 * size) + 0.5) / (4 * size) * 2 - 1
    inside = axis[:, None] ** 2 + axis[None] ** 2 < 0.5
    return inside.reshape(size, 4, size, 4).mean(axis=(1, 3))


def test_matte_is_the_coverage_of_a_subject_before_black() -> None:
    alpha = soft_disc()
    shade = 0.2 + 0.6 * np.linspace(0, 1, alpha.shape[1])
    white = (alpha * shade)[..., None] * [0.9, 1.0, 1.1]
    error = find_matte(white) - alpha
    edge = (alpha > 0) & (alpha < 1)
    assert np.abs(error[~edge]).max() < 0.1
    assert np.sqrt((error[edge] ** 2).mean()) < 0.1
    assert abs(error[edge].mean()) < 0.03


def test_nothing_to_see_gives_an_empty_matte() -> None:
    assert not find_matte(np.zeros((20, 30, 3))).any()


def test_over() -> None:
    foreground = np.full((1, 3, 3), 0.5)
    matte = np.array([[0, 0.5, 1]])
    np.testing.assert_allclose(over(foreground, matte, np.full((1, 1, 3), 0.2))[0, :, 0], [0.2, 0.6, 0.5])


@pytest.mark.parametrize("shape", [(20, 30), (60, 30), (8, 90)])
def test_backgrounds_cover_the_frame_and_keep_their_middle(shape: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.float32)
    picture[shape[0] // 2 - 1 : shape[0] // 2 + 1, shape[1] // 2 - 1 : shape[1] // 2 + 1] = 1
    filled = fill_frame(picture, 40, 50)
    assert filled.shape == (40, 50, 3)
    row, column = np.array(np.nonzero(filled[..., 0] > 0.5)).mean(axis=1) + 0.5
    assert abs(row - 20) <= 1.5
    assert abs(column - 25) <= 1.5


def test_the_camera_looks_along_minus_z_with_x_to_the_right() -> None:
    directions, pixel_rad = camera_directions(41, 61, 60.0)
    np.testing.assert_allclose(directions[20, 30], (0, 0, -1), atol=1e-12)
    assert directions[20, -1, 0] > 0
    assert directions[0, 30, 1] > 0
    edge = np.degrees(np.arctan(30.5 / 30 * directions[20, -1, 0] / -directions[20, -1, 2]))
    assert edge == pytest.approx(30, abs=1e-9)
    assert np.arccos(directions[20, 30] @ directions[20, 31]) == pytest.approx(pixel_rad, rel=1e-3)
    with pytest.raises(ValueError, match="fov_deg is 180"):
        camera_directions(4, 4, 180)


def test_balls_stand_at_the_right_mirror_above_diffuse_with_light_on_its_side() -> None:
    radiance = np.full((64, 128, 3), 0.01, np.float32)
    radiance[30:34, 94:98] = 50  # +X
    picture = np.full((60, 50, 3), 7.0, np.float32)
    shown = beside_balls(picture, LightingBall(30), EnvironmentMap(radiance))
    assert shown.shape == (60, 80, 3)
    np.testing.assert_array_equal(shown[:, :50], picture)
    for ball in (shown[:30, 50:], shown[30:, 50:]):
        grey = ball.sum(axis=2)
        assert grey[:, 15:].sum() > 5 * grey[:, :15].sum()
    white = beside_balls(picture, LightingBall(30), EnvironmentMap(np.ones((64, 128, 3))))
    np.testing.assert_allclose(white[[15, 45], 65], BALL_REFLECTANCE, rtol=5e-3)
