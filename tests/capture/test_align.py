"""Motion around a reference: signs, time, virtual references, reliability, shading."""

import cv2
import numpy as np
import pytest
from tolerances import FLOAT32_EXACT, FLOW_PX

from olatkit.capture.align import Motion, estimate_motion, follow_shading, shift_reference
from olatkit.capture.config import MotionConfig
from olatkit.capture.region import Region
from olatkit.vision.flow import FlowTable
from olatkit.vision.warp import pixel_grid, warp

SIZE = 96
INSIDE = np.s_[14:-14, 14:-14]
EVERYWHERE = np.ones((SIZE, SIZE), bool)
TICKS = [-60, -40, -20, 0, 20, 40, 60]


def waves(x, y):
    return 0.5 + (np.sin(0.5 * x + 0.2 * y) + np.sin(0.1 * x - 0.45 * y + 1) + np.sin(0.23 * x + 0.31 * y + 2)) / 6


def shown(dx, dy):
    """Texture whose content was moved by (dx, dy)."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(float)
    return np.round(255 * waves(x - dx, y - dy)).astype(np.uint8)


def table(path, noise=0):
    """Flows of a picture that follows ``path(tick) -> (dx, dy)``."""
    def picture(tick):
        clean = shown(*path(tick)).astype(float)
        return np.clip(clean + np.random.default_rng(abs(tick)).normal(0, noise, clean.shape), 0, 255).astype(np.uint8)

    return FlowTable(picture)


def steady(tick):
    return 0.08 * tick, -0.03 * tick


def curved(tick):
    return 2.5 * np.sin(tick / 40), 1.5 * np.sin(tick / 55 + 1)


def estimate(path, anchor=0, **config):
    noise = config.pop("noise", 0)
    return estimate_motion(table(path, noise), TICKS, anchor, MotionConfig(**config), EVERYWHERE)


@pytest.mark.parametrize("method", ["auto", "direct", "refine"])
def test_content_is_found_where_it_went(method):
    motion = estimate(steady, method=method)
    assert motion.ticks.tolist() == TICKS
    for tick in (-60, -33, 7, 50, 60):
        assert np.abs(motion.at(tick)[INSIDE] - steady(tick)).mean() < FLOW_PX
    assert not motion.at(0).any()


def test_ticks_count_from_the_anchor():
    motion = estimate(steady, anchor=20)
    assert motion.ticks.tolist() == [t - 20 for t in TICKS]
    assert np.abs(motion.at(-20)[INSIDE] + steady(20)).mean() < FLOW_PX


def test_between_knots_motion_is_linear():
    field = np.zeros((4, 4, 2), np.float32)
    motion = Motion(np.array([0, 20, 40]), [field, field + 2, field + 8], np.array([0, 0.1, 0.3]), 0.0)
    assert motion.at(5)[0, 0, 0] == pytest.approx(0.5)
    assert motion.at(30)[0, 0, 0] == pytest.approx(5)
    assert motion.at(20)[0, 0, 0] == 2
    assert motion.at(50)[0, 0, 0] == pytest.approx(11)
    assert motion.at(-10)[0, 0, 0] == pytest.approx(-1)
    assert [motion.reliability(t) for t in (10, 20, 25, 40)] == [0.1, 0.1, 0.3, 0.3]


def test_one_knot_is_no_motion():
    motion = estimate(steady, method="none")
    assert not motion.at(17).any()
    assert motion.speed_px == 0


@pytest.mark.parametrize("every_knot", [True, False])
def test_knots_left_out_follow_a_curve(every_knot):
    """Every second tracking frame and a cubic in time are as good for motion as slow as a head's."""
    motion = estimate(curved, every_knot=every_knot)
    origin = np.array(curved(0))
    for tick in TICKS:
        assert np.abs(motion.at(tick)[INSIDE] - (np.array(curved(tick)) - origin)).mean() < FLOW_PX


def test_speed_is_measured_over_60_ticks():
    assert estimate(steady).speed_px == pytest.approx(60 * np.hypot(0.08, 0.03), rel=0.2)


def test_still_pixels_stay_exactly_still():
    motion = estimate(lambda _tick: (0, 0), noise=2, dead_zone_px=0.5)
    assert not any(field.any() for field in motion.fields)
    assert any(field.any() for field in estimate(lambda _tick: (0, 0), noise=2, dead_zone_px=0).fields)


def test_the_flow_table_is_not_written_to():
    shared = table(steady)
    first = estimate_motion(shared, TICKS, 0, MotionConfig(), EVERYWHERE)
    estimate_motion(shared, TICKS, 20, MotionConfig(dead_zone_px=3.0), EVERYWHERE)
    again = estimate_motion(shared, TICKS, 0, MotionConfig(), EVERYWHERE)
    for a, b in zip(first.fields, again.fields, strict=True):
        np.testing.assert_array_equal(a, b)


def test_disagreement_names_the_picture_that_differs():
    flows = table(steady)
    good = flows.picture
    flows.picture = lambda tick: 255 - good(tick) if tick == 40 else good(tick)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[INSIDE] = True
    motion = estimate_motion(flows, TICKS, 0, MotionConfig(every_knot=True), inside)
    assert motion.disagreement[TICKS.index(40)] > 0.3
    assert motion.disagreement[[0, 1, 2, 3, 4, 6]].max() < 0.05


def test_a_virtual_reference_moves_the_grid():
    """From the grid at tick 0 to that at tick 7: displacements are what is left of the way."""
    motion = shift_reference(estimate(steady), 7)
    assert motion.ticks.tolist() == [t - 7 for t in TICKS]
    for tick in (-67, -7, 0, 33):
        assert np.abs(motion.at(tick)[INSIDE] - steady(tick)).mean() < FLOW_PX


def test_a_virtual_reference_of_growing_content():
    """Content that grows while it slides: the order in which displacements are followed matters."""
    grid = pixel_grid(SIZE, SIZE)

    def place(points, tick):
        return (1 + 0.004 * tick) * (points - SIZE / 2) + SIZE / 2 + (0.003 * tick**2, 0)

    def origin(points, tick):
        return (points - (0.003 * tick**2, 0) - SIZE / 2) / (1 + 0.004 * tick) + SIZE / 2

    ticks = np.array([-40, -20, 0, 20, 40])
    motion = Motion(ticks, [(place(grid, t) - grid).astype(np.float32) for t in ticks], np.zeros(5), 0.0)
    shifted = shift_reference(motion, 20)
    for tick in (-60, -20, 0, 20):
        truth = place(origin(grid, 20), tick + 20) - grid
        np.testing.assert_allclose(shifted.at(tick)[INSIDE], truth[INSIDE], atol=0.02)


def test_packed_positions_are_grid_plus_displacement():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:40, 30:70] = True
    region, motion = Region(mask), estimate(steady)
    positions = motion.packed(region)
    picture = shown(*steady(20)).astype(np.float32)
    packed = cv2.remap(picture, positions.at(20), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(
        region.unpack(packed)[mask], warp(picture, motion.at(20))[mask], atol=255 * FLOAT32_EXACT
    )


def test_region_packs_and_unpacks():
    rng = np.random.default_rng(0)
    mask = rng.random((30, 50)) < 0.6
    region, image = Region(mask), rng.random((30, 50, 3), np.float32)
    np.testing.assert_array_equal(region.unpack(region.pack(image)), image * mask[..., None])
    x, y = region.positions[0, 5]
    assert tuple(np.argwhere(mask)[5]) == (y, x)
    through_runs = np.zeros((30 * 50, 3), np.float32)
    for first, place, count in region.runs:
        through_runs[place : place + count] = region.pack(image).reshape(-1, 3)[first : first + count]
    np.testing.assert_array_equal(through_runs.reshape(image.shape), image * mask[..., None])
    with pytest.raises(ValueError, match="no pixel"):
        Region(np.zeros((4, 4), bool))


# ---------------------------------------------------------------- shading

def lit_edge(position):
    """A soft shadow edge at a column, on a constant surface."""
    x = np.arange(SIZE, dtype=np.float32)
    edge = 1 / (1 + np.exp(-(x - position) / 1.5))
    return np.repeat(np.repeat(edge[None, :, None], SIZE, 0), 3, 2).astype(np.float32)


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.8])
def test_a_moving_shadow_edge_is_met_half_way(weight):
    """6 px apart: the plain blend shows two edges, following the shading shows one where it is at the reference."""
    before, after = lit_edge(45), lit_edge(51)
    truth = lit_edge(45 + 6 * weight)
    plain = weight * after + (1 - weight) * before
    moved = follow_shading(after, before, weight)
    followed = weight * moved[0] + (1 - weight) * moved[1]
    assert np.square(followed - truth)[INSIDE].mean() < 0.25 * np.square(plain - truth)[INSIDE].mean()


def test_equal_looks_are_left_alone():
    image = np.random.default_rng(0).random((SIZE, SIZE, 3), np.float32)
    a, b = follow_shading(image, image, 0.3)
    np.testing.assert_allclose(a, image, atol=FLOAT32_EXACT)
    np.testing.assert_allclose(b, image, atol=FLOAT32_EXACT)


def test_black_looks_are_left_alone():
    black = np.zeros((SIZE, SIZE, 3), np.float32)
    a, b = follow_shading(black, black, 0.5)
    assert a is black
    assert b is black
