"""Videos keep colours, count and timing, and appear whole or not at all."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from olatkit.errors import OutputExistsError
from olatkit.io.video import VideoWriter, write_video

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40), (128, 128, 128)]


def flat(colour: tuple[int, int, int], height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_colours_survive_a_player_that_obeys_the_tags(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [flat(c) for c in COLOURS], fps=25)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == len(COLOURS)
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 13, 1)
        rgb = frame.to_ndarray(format="rgb24", src_colorspace="ITU709", dst_color_range="JPEG")
        # Limited range and 8-bit luma and chroma cost two or three codes; the matrix of SD video would cost forty.
        assert np.abs(rgb.astype(int) - colour).max() <= 4


def test_luma_is_that_of_hd_video(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [flat((0, 255, 0))])
    with av.open(str(tmp_path / "a.mp4")) as container:
        luma = next(container.decode(video=0)).to_ndarray()[:48]
    # BT.709: 16 + 219 * 0.7152 = 172.6; BT.601 would give 144.6.
    assert np.abs(luma.astype(float) - 172.6).max() < 2


@pytest.mark.parametrize("fps", [25.0, 24000 / 1001, 30.0])
def test_timing(tmp_path: Path, fps: float) -> None:
    write_video(tmp_path / "a.mp4", [flat((i, 0, 0)) for i in range(10)], fps=fps)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(fps).limit_denominator(1001)
        assert stream.frames == 10
        assert stream.pix_fmt == "yuv420p"


def test_odd_sizes_are_padded_and_views_written_right(tmp_path: Path) -> None:
    ramp = np.zeros((33, 51, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 250, 51)
    write_video(tmp_path / "a.mp4", [ramp[:, ::-1]], crf=4)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert frame.shape == (34, 52, 3)
    assert frame[:, :5].mean() > frame[:, -5:].mean() + 50


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    def frames():
        yield flat((1, 2, 3))
        raise RuntimeError("camera fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        write_video(tmp_path / "a.mp4", frames())
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "a.mp4", [])
    with pytest.raises(ValueError, match="the first had"):
        write_video(tmp_path / "a.mp4", [flat((1, 1, 1)), flat((1, 1, 1), 50)])
    with pytest.raises(ValueError, match="expected uint8"):
        write_video(tmp_path / "a.mp4", [np.zeros((8, 8, 3))])
    with pytest.raises(ValueError, match="fps is 0"):
        VideoWriter(tmp_path / "a.mp4", fps=0)
    assert not list(tmp_path.iterdir())


def test_existing_videos_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_video(tmp_path / "a.mp4", [flat((1, 2, 3))])
    assert (tmp_path / "a.mp4").read_bytes() == b"mine"
    write_video(tmp_path / "a.mp4", [flat((1, 2, 3))], overwrite=True)
    assert (tmp_path / "a.mp4").stat().st_size > 100
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
