"""A library that prints is silent, everything else is heard."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from olatkit.errors import FormatError
from olatkit.io.exr import read_exr, write_exr
from olatkit.io.silence import silence


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    path = tmp_path / "map.exr"
    write_exr(path, np.random.default_rng(0).random((32, 32, 3)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:4000])
    return path


def test_a_damaged_map_is_told_by_the_exception_alone(damaged: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FormatError, match="truncated or damaged OpenEXR file"):
        read_exr(damaged)
    assert capfd.readouterr() == ("", "")


def test_what_is_said_before_and_after_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    print("before", end=" ")
    with silence():
        os.write(1, b"nothing")
        os.write(2, b"nothing")
    print("after", end="")
    assert capfd.readouterr() == ("before after", "")


def test_blocks_of_several_threads_give_the_descriptors_back(capfd: pytest.CaptureFixture[str]) -> None:
    def one(_number: int) -> None:
        with silence():
            os.write(2, b"nothing")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(200)))
    os.write(1, b"out")
    os.write(2, b"err")
    assert capfd.readouterr() == ("out", "err")


def test_an_error_inside_gives_them_back_too(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), silence():
        raise KeyError
    os.write(2, b"err")
    assert capfd.readouterr() == ("", "err")
