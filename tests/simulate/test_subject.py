"""Laws of the simulated person: linear light, exact geometry, labels on the right sides."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from olatkit.geometry import fibonacci_directions
from olatkit.simulate.pose import Motion, Pose
from olatkit.simulate.subject import FIELD_M, Subject

LIGHTS = fibonacci_directions(7)


def test_relighting_is_the_weighted_sum_of_single_lights(subject: Subject) -> None:
    view = subject.view(0.3)
    weights = np.random.default_rng(1).uniform(0, 2, (7, 3))
    expected = np.einsum("lhwc,lc->hwc", subject.olat(view, LIGHTS), weights)
    # float32 sums in another order.
    np.testing.assert_allclose(subject.relight(view, LIGHTS, weights), expected, atol=2e-5 * expected.max())


def test_light_is_never_negative_and_background_is_black(subject: Subject) -> None:
    olat = subject.olat(subject.view(0.0), LIGHTS)
    assert olat.min() >= 0
    assert not olat[:, subject.alpha(0.0) == 0].any()


def test_a_light_from_the_right_lights_the_right_cheek(subject: Subject) -> None:
    image = subject.olat(subject.view(0.0), np.array([[1.0, 0.0, 0.0]]))[0].mean(-1)
    assert image[:, 40:].sum() > 5 * image[:, :40].sum()


def test_a_light_behind_the_head_leaves_the_face_dark(subject: Subject) -> None:
    front, back = subject.olat(subject.view(0.0), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    face = subject.labels(0.0) == 10
    assert back[face].max() < 1e-3 * front[face].mean()


@pytest.mark.slow
def test_the_nose_casts_a_shadow() -> None:
    still = Subject(3, (96, 80), speed_px=0, expression=0)
    light = np.array([[0.94, 0.0, 0.34]])
    image = still.relight(still.view(0.0), light, np.ones((1, 3))).mean(-1)
    normals, labels = still.normals(0.0), still.labels(0.0)
    turned_to_light = (normals @ light[0] > 0.15) & (labels == 1)
    y, x = np.nonzero(turned_to_light & (np.mgrid[0:96, 0:80][1] < 38))
    assert len(y) > 20
    # Skin left of the nose that faces the light but does not see it.
    assert (image[y, x] < 0.02).mean() > 0.2


def test_normals_are_unit_inside_and_zero_outside(subject: Subject) -> None:
    normals = subject.normals(0.1)
    length = np.linalg.norm(normals, axis=-1)
    inside = subject.labels(0.1) > 0
    np.testing.assert_allclose(length[inside], 1, atol=1e-5)
    assert not length[~inside].any()


def test_coverage_agrees_with_labels(subject: Subject) -> None:
    alpha, labels = subject.alpha(0.2), subject.labels(0.2)
    assert alpha.min() == 0
    assert alpha.max() == 1
    assert (labels[alpha == 1] > 0).all()
    assert (labels[alpha == 0] == 0).all()


@pytest.mark.slow
def test_left_and_right_labels_are_the_pictures() -> None:
    labels = Subject(3, (128, 128), speed_px=0, expression=0).labels(0.0)
    x = np.mgrid[0:128, 0:128][1]
    for left, right in ((2, 3), (4, 5), (7, 8)):
        assert x[labels == left].max() < 63.5 < x[labels == right].min()
    rows = [np.nonzero(labels == k)[0].mean() for k in (17, 2, 4, 10, 12, 13, 14, 16)]
    assert rows == sorted(rows)  # hair, brow, eye, nose, upper lip, lower lip, neck, cloth from top to bottom


@pytest.mark.slow
def test_a_face_at_rest_is_nearly_symmetric() -> None:
    labels = Subject(3, (128, 128), speed_px=0, expression=0).labels(0.0)
    mirror = np.array([0, 1, 3, 2, 5, 4, 6, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18])[labels[:, ::-1]]
    assert (mirror == labels).mean() > 0.98  # strands and edges differ


def test_flow_finds_the_same_skin_again(subject: Subject) -> None:
    flow, hidden = subject.flow(0.10, 0.16)
    labels = subject.labels(0.10)
    skin = cv2.erode(np.isin(labels, (1, 10, 14)).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    use = skin & ~hidden
    assert use.sum() > 800
    before, after = _albedo(subject, 0.10), _albedo(subject, 0.16)
    y, x = np.mgrid[0:96, 0:80].astype(np.float32)
    moved = cv2.remap(after, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC)
    with_flow = np.abs(moved - before)[use].mean()
    without = np.abs(after - before)[use].mean()
    assert np.linalg.norm(flow[use], axis=-1).mean() > 1
    assert with_flow < 0.5 * without  # pores are finer than a pixel: interpolation keeps a third of the difference


def test_flow_follows_material_points(subject: Subject) -> None:
    flow, hidden = subject.flow(0.10, 0.16)
    before, after = _material(subject, 0.10), _material(subject, 0.16)
    use = cv2.erode((subject.labels(0.10) == 1).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    y, x = np.mgrid[0:96, 0:80]
    # Not cv2.remap, which rounds coordinates to 1/32 of a pixel.
    where = [y + flow[..., 1], x + flow[..., 0]]
    moved = np.stack([map_coordinates(after[..., k], where, order=1) for k in (0, 1)], -1)
    error = np.linalg.norm(moved - before, axis=-1)[use & ~hidden]
    step = np.linalg.norm(np.diff(before, axis=1)[:, :79], axis=-1)[use[:, 1:]]
    # A hundredth of a pixel, in texels; what is left is interpolation between pixels.
    assert np.median(error) < 0.01 * np.median(step)


def test_flow_agrees_with_labels(subject: Subject) -> None:
    flow, hidden = subject.flow(0.10, 0.16)
    before, after = subject.labels(0.10), subject.labels(0.16)
    y, x = np.mgrid[0:96, 0:80]
    target = after[
        np.clip(np.round(y + flow[..., 1]).astype(int), 0, 95), np.clip(np.round(x + flow[..., 0]).astype(int), 0, 79)
    ]
    inside = cv2.erode((before > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert (target == before)[inside & ~hidden].mean() > 0.93  # rounding to pixels at class edges


def test_flow_to_the_same_time_is_zero(subject: Subject) -> None:
    flow, hidden = subject.flow(0.4, 0.4)
    assert np.abs(flow).max() < 1e-3
    assert not hidden.any()


def test_flow_and_back_returns(subject: Subject) -> None:
    forward, hidden = subject.flow(0.10, 0.14)
    backward, _ = subject.flow(0.14, 0.10)
    y, x = np.mgrid[0:96, 0:80].astype(np.float32)
    returned = forward + cv2.remap(backward, x + forward[..., 0], y + forward[..., 1], cv2.INTER_LINEAR)
    inside = cv2.erode((subject.labels(0.10) > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.median(np.linalg.norm(returned, axis=-1)[inside & ~hidden]) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("speed", [pytest.param(20.0, marks=pytest.mark.slow), 150.0])
def test_peak_speed_is_as_asked(speed: float) -> None:
    person = Subject(5, (64, 64), speed_px=speed, expression=0)
    rest = person.model.points[(person.model.weights.head > 0.99) & (person.model.points[:, 2] > 0)]
    peak = 0.0
    for t in np.arange(0, 10, 0.05):
        a, b = person.pose(t - 0.001).apply(rest), person.pose(t + 0.001).apply(rest)
        peak = max(peak, np.percentile(np.linalg.norm((b - a)[:, :2], axis=1), 95) / 0.002 * 64 / FIELD_M)
    assert peak == pytest.approx(speed, rel=0.03)  # sampled points and the nonlinear rotation


@pytest.mark.slow
def test_the_same_seed_is_the_same_person_and_others_differ() -> None:
    a, b, c = (Subject(seed, (48, 48)) for seed in (7, 7, 8))
    images = [s.relight(s.view(0.2), LIGHTS, np.ones((7, 3))) for s in (a, b, c)]
    assert images[0].tobytes() == images[1].tobytes()
    assert np.abs(images[0] - images[2]).mean() > 0.05 * images[0].mean()
    assert a.identity != c.identity


@pytest.mark.slow
def test_expression_moves_lids_and_lips(subject: Subject) -> None:
    person = Subject(3, (192, 160), expression=0)
    counts = {}
    for name, pose in (("rest", Pose()), ("blink", Pose(blink=1)), ("open", Pose(jaw=1))):
        person.motion = lambda t, pose=pose: pose  # type: ignore[assignment]
        labels = person.labels(0.0)
        counts[name] = (int(np.isin(labels, (4, 5)).sum()), int((labels == 11).sum()))
    assert counts["blink"][0] < 0.1 * counts["rest"][0]
    assert counts["open"][1] > 20 + counts["rest"][1]


def test_motion_is_smooth_and_still_without_amplitude() -> None:
    motion = Motion(4)
    yaw = np.array([motion(t).yaw for t in np.arange(0, 2, 0.001)])
    assert np.abs(np.diff(yaw)).max() < 0.2
    assert Motion(4, amplitude=0, expression=0)(0.7) == Pose(**dict.fromkeys(("yaw", "pitch", "roll"), 0.0))


def test_negative_speed_is_refused() -> None:
    with pytest.raises(ValueError, match="speed_px is -1"):
        Subject(1, (32, 32), speed_px=-1)


def _albedo(subject: Subject, time_s: float) -> np.ndarray:
    """Reflectance under every pixel centre."""
    view = subject.view(time_s, supersample=1)
    out = np.zeros((96 * 80, 3), np.float32)
    out[view.index] = view.table[:, 6:9]
    return out.reshape(96, 80, 3)


def _material(subject: Subject, time_s: float) -> np.ndarray:
    """Texture coordinates under every pixel centre."""
    view = subject.view(time_s, supersample=1)
    y, x = np.divmod(view.index, 80)
    weights, corners = subject._corners(view, y, x)
    out = np.zeros((96, 80, 2), np.float32)
    out[y, x] = np.einsum("nk,nkd->nd", weights, subject.model.uv[corners])
    return out
