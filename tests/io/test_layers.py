"""Backgrounds and mattes come in as what they are: linear light, and coverage."""

from pathlib import Path

import numpy as np
import pytest

from olatkit.errors import FormatError
from olatkit.io.images import write_exr, write_png
from olatkit.io.layers import list_pictures, read_background, read_matte


def test_folders_are_read_in_natural_order(tmp_path: Path) -> None:
    for name in ("sky_10.hdr", "sky_2.HDR", "1.hdr", ".sky_3.hdr", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_pictures(tmp_path, (".hdr",))] == ["1.hdr", "sky_2.HDR", "sky_10.hdr"]
    with pytest.raises(FormatError, match=r"holds no picture, expected files ending in \.png"):
        list_pictures(tmp_path, (".png",))
    with pytest.raises(FormatError, match="none: no such folder"):
        list_pictures(tmp_path / "none", (".png",))
    with pytest.raises(FormatError, match="cannot be read: Not a directory"):
        list_pictures(tmp_path / "notes.txt", (".png",))


def test_backgrounds_are_linear(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.full((2, 3, 4), [0, 188, 255, 7], np.uint8))
    np.testing.assert_allclose(read_background(tmp_path / "a.png")[0, 0], [0, 0.5029, 1], atol=1e-4)
    write_exr(tmp_path / "a.exr", np.full((2, 3), 5, np.float16))
    np.testing.assert_array_equal(read_background(tmp_path / "a.exr"), np.full((2, 3, 3), 5))
    write_exr(tmp_path / "b.exr", np.full((2, 3), np.nan, np.float32))
    with pytest.raises(FormatError, match=r"b\.exr: holds values that are not finite"):
        read_background(tmp_path / "b.exr")


def test_mattes_are_alpha_or_grey(tmp_path: Path) -> None:
    write_png(tmp_path / "grey.png", np.full((2, 3), 65535 // 5, np.uint16))
    write_png(tmp_path / "rgba.png", np.full((2, 3, 4), [255, 255, 255, 51], np.uint8))
    for name in ("grey.png", "rgba.png"):
        np.testing.assert_allclose(read_matte(tmp_path / name, (2, 3)), 0.2, atol=1e-6)
    write_exr(tmp_path / "bright.exr", np.full((2, 3), 1.5, np.float32))
    with pytest.raises(FormatError, match=r"runs from 1\.5 to 1\.5, expected 0 to 1"):
        read_matte(tmp_path / "bright.exr", (2, 3))
    with pytest.raises(FormatError, match="the matte is 3x2, the take 4x2"):
        read_matte(tmp_path / "grey.png", (2, 4))
