"""ColorChecker: sampling, detection and the colour matrix."""

import cv2
import numpy as np
import pytest

from olatkit.capture.chart import chart_error, chart_patches, chart_reference, fit_color_matrix
from olatkit.capture.chart_finder import find_color_checker
from olatkit.color import to_srgb8
from olatkit.errors import CaptureError

CAMERA = np.array([[0.55, 0.30, 0.10], [0.22, 0.70, 0.12], [0.05, 0.30, 0.60]])  # linear Rec.709 to camera RGB
CORNERS = np.array([(150, 90), (640, 120), (610, 450), (130, 410)], np.float32)
UPRIGHT = np.array([(250, 30), (560, 50), (540, 500), (230, 510)], np.float32)


def card(corners=CORNERS, camera=None, colors=None):
    """Linear picture of a card: patches with dark gaps, the outer corners of its patch grid at ``corners``."""
    colors = chart_reference() if colors is None else colors
    colors = colors if camera is None else colors @ camera.T
    flat = np.full((420, 620, 3), 0.02, np.float32)
    for n, color in enumerate(colors):
        row, column = divmod(n, 6)
        flat[18 + row * 96 : 98 + row * 96, 30 + column * 96 - 10 + 2 : 30 + column * 96 + 70] = color
    grid = np.array([(14, 10), (590, 10), (590, 394), (14, 394)], np.float32)
    warp = cv2.getPerspectiveTransform(grid, corners)
    picture = np.full((540, 760, 3), 0.3, np.float32)
    cv2.warpPerspective(flat, warp, (760, 540), dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    return cv2.GaussianBlur(picture, (0, 0), 0.8)


def test_patches_are_read_in_order():
    np.testing.assert_allclose(chart_patches(card(), CORNERS), chart_reference(), atol=2e-4)


@pytest.mark.parametrize(("turns", "camera"), [
    (0, None), (1, CAMERA), (2, None),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in ((0, CAMERA), (1, None), (2, CAMERA), (3, None), (3, CAMERA))),
])
def test_card_is_found_whichever_way_up(turns, camera):
    corners = np.roll(CORNERS if turns % 2 == 0 else UPRIGHT, turns, axis=0)
    picture = card(corners, camera)
    found = find_color_checker(to_srgb8(picture))
    # Regions are outlined to a pixel or two; patches are 60 to 70 pixels wide.
    np.testing.assert_allclose(found, corners, atol=3)


def test_card_is_found_in_a_large_noisy_picture_with_clutter():
    picture = cv2.resize(card(), (2280, 1620))
    rng = np.random.default_rng(0)
    for x, y in rng.integers(0, (2200, 200), (20, 2)):
        cv2.rectangle(picture, (int(x), int(y)), (int(x) + 90, int(y) + 80), rng.random(3).tolist(), -1)
    picture += rng.normal(0, 0.01, picture.shape).astype(np.float32)
    np.testing.assert_allclose(find_color_checker(to_srgb8(picture)), 3 * CORNERS + 1, atol=9)


def test_other_colours_in_a_grid_are_no_card():
    """The same card with its colours shuffled."""
    shuffled = np.random.default_rng(0).permutation(chart_reference())
    with pytest.raises(CaptureError, match="no ColorChecker found"):
        find_color_checker(to_srgb8(card(colors=shuffled)))


def test_no_card_is_an_error():
    with pytest.raises(CaptureError, match="no ColorChecker found"):
        find_color_checker(np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8))


def test_a_patch_that_the_edge_cuts_is_measured_on_what_is_visible():
    corners = CORNERS - np.array([CORNERS[:, 0].min() + 30, 0], np.float32)
    shift = np.float32([[1, 0, -CORNERS[:, 0].min() - 30], [0, 1, 0]])
    cut = cv2.warpAffine(card(), shift, (760, 540), borderValue=(9, 9, 9))
    np.testing.assert_allclose(chart_patches(cut, corners), chart_reference(), atol=1e-3)


def test_patches_outside_the_picture_are_named():
    with pytest.raises(CaptureError, match=r"chart patches 1, 7, 13, 19 reach out of the picture of 760x540"):
        chart_patches(card(), CORNERS - np.array([200, 0], np.float32))
    with pytest.raises(CaptureError, match="expected 4 points"):
        chart_patches(card(), CORNERS[[0, 2, 1, 3]])


@pytest.mark.parametrize("preserve_white", [True, False])
def test_matrix_inverts_a_linear_camera(preserve_white):
    """Up to exposure, which stays at the green level of white. That white is not quite neutral costs 0.53."""
    reference = chart_reference()
    measured = 0.6 * reference @ CAMERA.T
    matrix = fit_color_matrix(measured, reference, preserve_white=preserve_white)
    scale = measured[18, 1] / reference[18].mean() / 0.6
    np.testing.assert_allclose(matrix, scale * np.linalg.inv(CAMERA), rtol=0.02, atol=0.02)
    assert chart_error(measured, reference, matrix).max() < 0.6


def test_white_stays_neutral_and_exposure_stays():
    measured = 0.6 * chart_reference() @ CAMERA.T * np.random.default_rng(0).normal(1, 0.05, (24, 3))
    matrix = fit_color_matrix(measured, chart_reference())
    np.testing.assert_allclose(matrix @ measured[18], measured[18, 1], rtol=1e-12)
    free = fit_color_matrix(measured, chart_reference(), preserve_white=False)
    assert np.ptp(free @ measured[18]) > 1e-3


def test_saturated_patches_do_not_count():
    reference = chart_reference()
    measured = 1.2 * reference @ CAMERA.T
    clipped = np.minimum(measured, 1.0)
    assert (clipped[18] == 1).all()
    matrix = fit_color_matrix(clipped, reference)
    error = chart_error(clipped, reference, matrix)
    assert np.isnan(error[18])
    assert np.nanmax(error) < 0.5


def test_matrix_refuses_bad_charts():
    reference = chart_reference()
    with pytest.raises(CaptureError, match="0 of 24 chart patches"):
        fit_color_matrix(np.ones((24, 3)), reference)
    with pytest.raises(CaptureError, match="less than three colours"):
        fit_color_matrix(reference[:, :1].repeat(3, axis=1), reference)


@pytest.mark.real_data
def test_real_camera_frame(test_data):
    """A Phantom Flex4K frame; two whites are clipped, and the card's corners lie outside the picture."""
    from olatkit.io.cine import CineStream

    stream = CineStream(test_data / "cine" / "flex4k_colorchecker_p10.cine")
    raw = stream.read(0, 1)[0]
    assert stream.bayer == "gbrg"
    rgb = cv2.cvtColor(raw, cv2.COLOR_BayerGBRG2RGB).astype(np.float32)
    rgb = (rgb - stream.black_level) / (stream.white_level - stream.black_level)
    corners = [(80.3, -46.9), (1912.3, -126.3), (2066.3, 1071.1), (109.3, 1198.6)]
    measured = chart_patches(rgb, np.array(corners))
    matrix = fit_color_matrix(measured, chart_reference())
    error = chart_error(measured, chart_reference(), matrix)
    assert np.isnan(error).sum() == 2
    assert np.nanmean(error) < 5  # 4.6 measured; a daylight frame of a handheld card
    unbalanced = chart_error(measured, chart_reference(), np.eye(3) * matrix.sum())
    assert np.nanmean(unbalanced) > 3 * np.nanmean(error)
