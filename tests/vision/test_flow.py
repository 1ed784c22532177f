"""Signs and algebra of flow and warping, on content whose motion is known."""

import cv2
import numpy as np
import pytest
from tolerances import FLOAT32_EXACT, FLOW_PX, WARP_CUBIC, WARP_LINEAR

from olatkit.vision.flow import FlowTable, chained_flow, compose, direct_flow, dis_flow, grey8, invert, refined_flow
from olatkit.vision.warp import pixel_grid, warp

SIZE = 96
INSIDE = slice(12, -12), slice(12, -12)


def texture(dx=0.0, dy=0.0):
    """Smooth waves whose content is moved by (dx, dy) pixels: right and down for positive values."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    x, y = x - dx, y - dy
    value = np.sin(0.5 * x + 0.2 * y) + np.sin(0.1 * x - 0.45 * y + 1) + np.sin(0.23 * x + 0.31 * y + 2)
    return (0.5 + value / 6).astype(np.float32)


def picture(dx=0.0, dy=0.0):
    return np.round(texture(dx, dy) * 255).astype(np.uint8)


def constant(dx, dy):
    return np.full((SIZE, SIZE, 2), (dx, dy), np.float32)


@pytest.mark.parametrize("quality", ["fine", "balanced", "medium", "fast"])
@pytest.mark.parametrize("move", [(3, 0), (0, 3), (-2.5, 1.5)])
def test_flow_says_where_content_went(quality, move):
    """Content moved by +3 px in x is found at x + 3: dx = +3."""
    flow = dis_flow(picture(), picture(*move), quality=quality)
    assert flow.dtype == np.float32
    assert np.abs(flow[INSIDE] - move).mean() < (FLOW_PX if quality != "fast" else 3 * FLOW_PX)


def test_warp_brings_moved_content_back():
    out = warp(texture(3, -2), constant(3, -2))
    np.testing.assert_allclose(out[INSIDE], texture()[INSIDE], atol=FLOAT32_EXACT)


def test_warp_by_fractions():
    for linear, tolerance in ((False, WARP_CUBIC), (True, WARP_LINEAR)):
        out = warp(texture(2.4, 1.7), constant(2.4, 1.7), linear=linear)
        np.testing.assert_allclose(out[INSIDE], texture()[INSIDE], atol=tolerance)


def test_warp_by_nothing_changes_nothing():
    image = np.random.default_rng(0).random((20, 30, 3), np.float32)
    for linear in (False, True):
        np.testing.assert_array_equal(warp(image, np.zeros((20, 30, 2), np.float32), linear=linear), image)


def test_warp_repeats_the_border():
    image = np.arange(30, dtype=np.float32)[None].repeat(20, 0)
    np.testing.assert_allclose(warp(image, np.full((20, 30, 2), (100, 0), np.float32)), 29)


def test_warp_keeps_range_and_sign():
    """Neither clipped at 0 nor at 1; integers become floats."""
    image = np.full((20, 30), -0.2, np.float32)
    np.testing.assert_allclose(warp(image, np.full((20, 30, 2), 0.3, np.float32)), -0.2, atol=FLOAT32_EXACT)
    assert warp(np.full((20, 30), 4000, np.uint16), np.zeros((20, 30, 2), np.float32)).max() == 4000


def test_pixel_grid():
    grid = pixel_grid(3, 5)
    assert grid.shape == (3, 5, 2)
    assert grid[2, 4].tolist() == [4, 2]
    with pytest.raises(ValueError, match="read-only"):
        grid[0, 0] = 1


def swirl(strength):
    """A smooth displacement field of up to ``strength`` pixels."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    field = np.stack([np.sin(2 * np.pi * y), np.sin(2 * np.pi * x + 1)], axis=-1)
    return (strength * field).astype(np.float32)


def test_compose_is_one_warp_instead_of_two():
    """Bringing c to b and then to a is the warp by the composed displacement."""
    first, second = swirl(2), swirl(3)[::-1].copy()
    image = texture()
    np.testing.assert_allclose(
        warp(image, compose(first, second))[INSIDE], warp(warp(image, second), first)[INSIDE],
        atol=3 * WARP_CUBIC,  # three interpolations
    )


def test_compose_order():
    """The second field is read where the first one leads."""
    second = np.zeros((SIZE, SIZE, 2), np.float32)
    second[:, 50:] = (7, 0)
    out = compose(constant(10, 0), second)
    assert out[48, 45].tolist() == [17, 0]
    assert out[48, 35].tolist() == [10, 0]


def test_invert_undoes():
    field = swirl(2.5)
    back = invert(field, iterations=6)
    np.testing.assert_allclose(compose(field, back)[INSIDE], 0, atol=0.02)
    np.testing.assert_allclose(compose(back, field)[INSIDE], 0, atol=0.02)
    np.testing.assert_allclose(invert(constant(3, -1)), constant(-3, 1), atol=FLOAT32_EXACT)


@pytest.mark.parametrize("find", [direct_flow, chained_flow, refined_flow])
def test_flows_to_every_key(find):
    moves = {-40: (-4, 1), -20: (-2, 0.5), 0: (0, 0), 20: (2, -0.5), 40: (4, -1)}
    fields = find(FlowTable({k: picture(*move) for k, move in moves.items()}.__getitem__), list(moves), 0)
    assert sorted(fields) == sorted(moves)
    assert not fields[0].any()
    for key, move in moves.items():
        assert np.abs(fields[key][INSIDE] - move).mean() < FLOW_PX


def test_refinement_removes_drift():
    """Twelve steps of a turning, zooming picture: residual flow after the chain beats the chain."""
    def turned(k):
        matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 1.0 * k, 1 + 0.004 * k)
        y, x = np.mgrid[0:SIZE, 0:SIZE]
        moved = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
        u, v = moved[..., 0], moved[..., 1]
        value = np.sin(0.5 * u + 0.2 * v) + np.sin(0.1 * u - 0.45 * v + 1) + np.sin(0.23 * u + 0.31 * v + 2)
        return np.round((0.5 + value / 6) * 255).astype(np.uint8), matrix

    pictures = {k: turned(k)[0] for k in range(13)}
    table = FlowTable(pictures.__getitem__, quality="medium")
    # Pixel x of picture 0 shows the texture at x; picture k shows it where its matrix maps back to x.
    inverse = cv2.invertAffineTransform(turned(12)[1])
    truth = np.concatenate([pixel_grid(SIZE, SIZE), np.ones((SIZE, SIZE, 1))], -1) @ inverse.T - pixel_grid(SIZE, SIZE)
    inside = slice(24, -24), slice(24, -24)

    chain, refined = (
        np.abs(find(table, list(pictures), 0)[12] - truth)[inside].mean() for find in (chained_flow, refined_flow)
    )
    assert refined < 0.75 * chain
    assert refined < FLOW_PX


def test_a_table_computes_each_flow_once_and_forward():
    asked = []

    def look(key):
        asked.append(key)
        return picture(key / 10)

    table = FlowTable(look)
    forward, backward = table.between(0, 20), table.between(20, 0)
    assert asked == [0, 20]
    np.testing.assert_array_equal(backward, invert(forward))
    assert np.abs(backward[INSIDE] + (2, 0)).mean() < 1.5 * FLOW_PX
    table.keep(0, 20)
    table.between(0, 20)
    assert asked == [0, 20]
    for first, last in ((10, 40), (-10, 10)):
        table.keep(first, last)
        table.between(0, 20)
    assert asked == [0, 20] * 3


def test_a_table_does_not_depend_on_who_asks_first():
    tables = [FlowTable(lambda k: picture(k / 10)) for _ in range(2)]
    pairs = [(0, 20), (40, 20), (40, 0), (20, 40)]
    first = {p: tables[0].between(*p).copy() for p in pairs}
    for pair in reversed(pairs):
        np.testing.assert_array_equal(tables[1].between(*pair), first[pair])


def test_grey_pictures():
    linear = np.zeros((2, 2, 3), np.float32)
    linear[0, 0] = 0.5
    linear[0, 1] = (0.5, 0, 0)
    linear[1, 0] = 2.0
    linear[1, 1] = -0.1
    out = grey8(linear, 1.0)
    assert out.tolist() == [[round(255 * 0.5 ** (1 / 2.2)), round(255 * 0.125 ** (1 / 2.2))], [255, 0]]


def test_unknown_quality():
    with pytest.raises(ValueError, match="quality 'best' is unknown, expected one of fine, balanced, medium, fast"):
        dis_flow(picture(), picture(), quality="best")
