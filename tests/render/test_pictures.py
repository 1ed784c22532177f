"""Contact sheets and lighting balls show what is there, where it is."""

import numpy as np
import pytest

from olatkit.color import encode_srgb
from olatkit.envmap import EnvironmentMap
from olatkit.render.lighting_ball import lighting_ball
from olatkit.render.pictures import contact_sheet, to_display


def test_contact_sheet_places_pictures_row_by_row() -> None:
    pictures = [np.full((6, 8, 3), 40 * (i + 1), np.uint8) for i in range(5)]
    sheet = contact_sheet(pictures, 3, gap_px=2)
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2 * 2, 3)
    for i, picture in enumerate(pictures):
        top, left = i // 3 * 8, i % 3 * 10
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 8], picture)
    assert sheet[8:, 20:].max() < 40
    assert contact_sheet(pictures, 9).shape == (6, 5 * 8 + 4 * 4, 3)


def test_labels_are_drawn_on_a_copy() -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    labelled = contact_sheet([picture, picture], 2, ["light 7", ""])
    assert labelled[:, :80].max() > 200
    assert labelled[:, 84:].max() == 0
    assert not picture.any()


@pytest.mark.parametrize("height", [60, 256, 900])
def test_the_outline_of_a_label_follows_its_letters(height: int) -> None:
    """Black is found beside white only: an outline of another width than its text would drift away from it."""
    import cv2

    labelled = contact_sheet([np.full((height, 3 * height, 3), 90, np.uint8)], 1, ["spherical harmonics, order 2"])[..., 0]
    assert labelled.max() > 200
    dark = labelled < 40
    reach = 2 * max(1, round(2 * max(0.35, height / 600))) + 1
    beside = cv2.dilate((labelled > 120).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    assert dark.sum() > 100
    assert (dark & ~beside).sum() < 0.01 * dark.sum()


def test_contact_sheet_refuses_what_does_not_fit() -> None:
    picture = np.zeros((6, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="needs pictures"):
        contact_sheet([], 3)
    with pytest.raises(ValueError, match="1 labels for 2 pictures"):
        contact_sheet([picture, picture], 2, ["a"])
    with pytest.raises(ValueError, match="picture 1 is uint8"):
        contact_sheet([picture, picture[:5]], 2)
    with pytest.raises(ValueError, match="picture 0 is float32"):
        contact_sheet([picture.astype(np.float32)], 2)


def one_spot(column: int, row: int = 16) -> EnvironmentMap:
    radiance = np.full((32, 64, 3), 0.01, np.float32)
    radiance[row - 1 : row + 1, [column - 1, column % 64]] = 100
    return EnvironmentMap(radiance)


def test_balls_under_a_white_sky_are_white() -> None:
    balls = lighting_ball(EnvironmentMap(np.full((16, 32, 3), 2, np.float32)), 32)
    assert balls.shape == (32, 64, 3)
    np.testing.assert_allclose(balls[16, [16, 48]], 2, rtol=2e-3)  # the cosine over a 32x64 grid
    assert not balls[0, 0].any()


@pytest.mark.parametrize("column, side", [(48, "right"), (16, "left"), (0, "middle")])
def test_light_shows_on_its_own_side_of_the_balls(column: int, side: str) -> None:
    balls = lighting_ball(one_spot(column), 48).sum(axis=2)
    for ball in (balls[:, :48], balls[:, 48:]):
        weight = ball / ball.sum()
        centre = (weight.sum(axis=0) * (np.arange(48) - 23.5)).sum()
        expected = {"right": centre > 5, "left": centre < -5, "middle": abs(centre) < 1}
        assert expected[side]


def test_light_from_above_shows_at_the_top() -> None:
    balls = lighting_ball(one_spot(0, row=6), 48).sum(axis=2)
    assert balls[:24].sum() > 3 * balls[24:].sum()


def test_display_is_srgb_after_exposure() -> None:
    assert to_display(np.full((1, 1, 3), 0.5), 2.0).tolist() == [[[255, 255, 255]]]
    assert to_display(np.full((1, 1, 3), 0.25), 1.0)[0, 0, 0] == 137


@pytest.mark.parametrize("transfer", ["srgb", "linear"])
@pytest.mark.parametrize("bits, dtype", [(8, np.uint8), (16, np.uint16)])
def test_codes_are_the_rounded_curve(transfer: str, bits: int, dtype: type) -> None:
    values = np.concatenate([np.geomspace(1e-8, 4, 50_000), -np.geomspace(1e-6, 4, 100), [0, 1, np.inf, -np.inf]])
    curve = encode_srgb(np.clip(values / 3, 0, 1)) if transfer == "srgb" else np.clip(values / 3, 0, 1)
    codes = to_display(values.astype(np.float32), 1 / 3, bits=bits, transfer=transfer)
    assert codes.dtype == dtype
    # A value within float32 rounding of the middle between two codes may get either.
    exact = curve * (2**bits - 1)
    assert np.abs(codes - exact).max() <= 0.5 + (1e-4 if bits == 8 else 2e-2)


def test_what_is_no_number_is_black() -> None:
    assert not to_display(np.full((2, 2, 3), np.nan, np.float32), 1.0).any()
