"""Light probes against balls rendered by tracing rays, whose lights are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_pictures import diffuse_ball, mirror_ball, trace

from olatkit.capture.ball_finder import find_ball
from olatkit.capture.probes import (
    Ball,
    Camera,
    angles_deg,
    ball_normals,
    find_highlight,
    measure_gain,
    mirror_direction,
    normalise_gains,
)
from olatkit.errors import CaptureError
from olatkit.geometry import fibonacci_directions

SEEN = fibonacci_directions(22)
SEEN = SEEN[SEEN[:, 2] > -0.7]  # a ball shows lights behind it only at its very edge, where a pixel is a wide angle
SIZE = 300


def _found(camera: Camera | None, ball: Ball, size: int) -> tuple[np.ndarray, np.ndarray]:
    places = [find_highlight(mirror_ball(light, ball, size, camera), ball) for light in SEEN]
    # Without the camera the same pictures are read wrongly.
    return tuple(np.array([mirror_direction(ball, *place, seen) for place in places]) for seen in (camera, None))


@pytest.mark.slow
def test_directions_seen_from_far_away() -> None:
    ball = Ball(149.3, 140.8, 120.4)
    error = angles_deg(_found(None, ball, SIZE)[0], SEEN)
    assert error.max() < 0.2
    assert error.mean() < 0.08


@pytest.mark.slow
def test_directions_in_perspective() -> None:
    camera = Camera(640.0, (149.5, 149.5))
    ball, _ = trace(camera, np.array([0.05, 0.03, -1.0]), 0.16, SIZE)
    with_camera, without = _found(camera, ball, SIZE)
    assert angles_deg(with_camera, SEEN).max() < 0.2
    assert angles_deg(without, SEEN).max() > 1


@given(
    x=st.floats(-0.95, 0.95), y=st.floats(-0.95, 0.95), radius=st.floats(10, 500), cx=st.floats(-50, 900),
    cy=st.floats(-50, 900),
)
@settings(max_examples=60, deadline=None)
def test_mirror_law(x: float, y: float, radius: float, cx: float, cy: float) -> None:
    if x * x + y * y > 0.98:
        return
    ball = Ball(cx, cy, radius)
    px, py = cx + radius * x, cy - radius * y
    light = mirror_direction(ball, px, py)
    normals, views = ball_normals(ball, np.array(px), np.array(py))
    # The normal halves the angle between the light and the camera.
    assert np.linalg.norm(light) == pytest.approx(1)
    assert light @ normals == pytest.approx(views @ normals, abs=1e-9)
    assert np.cross(light, views) @ normals == pytest.approx(0, abs=1e-9)


def test_highlight_with_flare_and_a_window() -> None:
    ball = Ball(200.0, 200.0, 150.0)
    light = np.array([0.3, 0.2, 0.933])
    light /= np.linalg.norm(light)
    clean = mirror_ball(light, ball, 400, None, sharpness=900)
    x, y = find_highlight(clean, ball)
    streak = np.minimum(clean * 40, 1)
    rows = np.arange(400)
    for row in rows[(rows > y - 60) & (rows < y + 8)]:
        column = round(x + 0.3 * (row - y))
        streak[row, column - 1 : column + 2] = 1.0
    window = np.zeros_like(clean)
    window[120:150, 240:270] = 1.0
    # A scratch through a cut-off highlight and a window that never moves change the place by less than 1 px.
    found = find_highlight(np.maximum(streak, window), ball, still=window)
    assert np.hypot(found[0] - x, found[1] - y) < 1.0


def test_no_highlight() -> None:
    assert find_highlight(np.full((100, 100), 0.2), Ball(50, 50, 40)) is None
    assert find_highlight(np.zeros((100, 100)), Ball(50, 50, 40)) is None


@pytest.mark.parametrize("polarity", [1, -1])
def test_ball_is_found_among_clutter(polarity: int) -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:480, 0:640]
    picture = 0.4 + 0.1 * np.sin(x / 40) + 0.02 * rng.standard_normal((480, 640))
    picture[300:420, 40:200] = 0.8
    picture[20:60, 500:620] = 0.1
    edge = np.clip(141.3 - np.hypot(x - 350.4, y - 222.7) + 0.5, 0, 1)
    picture = picture * (1 - edge) + (0.4 - 0.33 * polarity) * edge
    picture[340:, 300:400] = 0.5  # the stand hides the lowest part
    ball, seen = find_ball(picture)
    assert (ball.x, ball.y, ball.radius) == pytest.approx((350.4, 222.7, 141.3), abs=0.5)
    assert seen > 0.5


def test_no_ball() -> None:
    rng = np.random.default_rng(3)
    with pytest.raises(CaptureError, match=r"no ball was found: .* say where it is with --ball$"):
        find_ball(rng.random((100, 120)))
    with pytest.raises(CaptureError, match="no ball was found"):
        find_ball(np.zeros((100, 120)))


def test_gains_of_a_diffuse_ball() -> None:
    rng = np.random.default_rng(1)
    ball = Ball(60.2, 58.9, 45.0)
    lights = fibonacci_directions(30)
    gains = rng.uniform(0.7, 1.4, (30, 3))
    y, x = np.mgrid[0:120, 0:120]
    inside = np.hypot(x - ball.x, y - ball.y) < 0.95 * ball.radius
    normals, _ = ball_normals(ball, x[inside], y[inside])
    measured, misfits = [], []
    for light, true_gain in zip(lights, gains, strict=True):
        image = diffuse_ball(light, ball, 120)[..., None] * true_gain * 0.6 + rng.normal(0, 0.004, (120, 120, 3))
        image[50:54, 30:90] = 0.01  # a scratch
        gain, misfit = measure_gain(image[inside], normals, light)
        measured.append(gain)
        misfits.append(misfit)
    found, known = normalise_gains(np.array(measured))
    assert known.sum() > 20
    assert not known[lights[:, 2] < -0.95].any()
    true = gains / (gains[known] @ [0.2126, 0.7152, 0.0722]).mean()
    assert np.abs(found[known] / true[known] - 1).max() < 0.005
    assert (found[~known] == found[~known][0]).all()
    # The scratch is a twentieth of the ball; the rest is noise.
    assert np.nanmedian(misfits) < 0.08


def test_what_is_no_white_ball_does_not_fit() -> None:
    ball = Ball(60.0, 60.0, 45.0)
    y, x = np.mgrid[0:120, 0:120]
    inside = np.hypot(x - ball.x, y - ball.y) < 0.95 * ball.radius
    normals, _ = ball_normals(ball, x[inside], y[inside])
    light = np.array([0.48, 0.36, 0.8])
    facets = np.where((x // 12 + y // 12) % 2, 0.2, 0.8)
    checkered = diffuse_ball(light, ball, 120) * facets
    from_elsewhere = diffuse_ball(np.array([-0.6, -0.48, 0.64]), ball, 120)
    room = 0.3 + mirror_ball(light, ball, 120, None)
    for wrong in (checkered, from_elsewhere, room):
        assert measure_gain(np.repeat(wrong[..., None], 3, axis=2)[inside], normals, light)[1] > 0.25


def test_gains_need_light() -> None:
    with pytest.raises(CaptureError, match="no light lights 200 pixels"):
        normalise_gains(np.full((3, 3), np.nan))
    with pytest.raises(CaptureError, match="black under light 1"):
        normalise_gains(np.array([[1.0, 1, 1], [0, 0, 0]]))


def test_ball_outside_the_picture() -> None:
    with pytest.raises(CaptureError, match="lies outside the picture of 50x40"):
        Ball(300, 20, 30).box((40, 50))
    with pytest.raises(CaptureError, match="radius 0 px"):
        Ball(3, 3, 0)
