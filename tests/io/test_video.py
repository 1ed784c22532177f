"""Videos keep colours, count and timing, and appear whole or not at all."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from olatkit.errors import FormatError, OutputExistsError
from olatkit.io.video import CODECS, VideoWriter, join_videos, write_video

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


def smooth(count: int, bits: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Slowly changing pictures, which lossy codecs keep well."""
    y, x = np.mgrid[0:height, 0:width] / 40
    frames = [np.stack([0.5 + 0.4 * np.sin(y + k / 9), 0.3 + 0.2 * x, 0.6 - 0.01 * k + 0 * y], -1) for k in range(count)]
    return [np.round(np.clip(f, 0, 1) * (2**bits - 1)).astype(f"uint{bits}") for f in frames]


def decode(path: Path, bits: int) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return np.stack([f.to_ndarray(format="rgb24" if bits == 8 else "rgb48le") for f in frames])


# H.264 has 8 bits in limited range, ProRes 10 bits and some loss, FFV1 loses nothing.
@pytest.mark.parametrize("codec, tolerance", [("h264", 6 / 255), ("prores", 0.012), ("ffv1", 0)])
def test_pictures_survive_every_codec(tmp_path: Path, codec: str, tolerance: float) -> None:
    kind = CODECS[codec]
    frames = smooth(5, kind.bits)
    path = tmp_path / ("a" + kind.suffix)
    write_video(path, frames, codec=codec, crf=4)
    back = decode(path, kind.bits)
    assert back.shape == (5, 32, 48, 3)
    assert np.abs(back.astype(float) - frames).max() <= tolerance * (2**kind.bits - 1)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (1, 13, 0 if codec == "ffv1" else 1)


@pytest.mark.parametrize("codec", list(CODECS))
@pytest.mark.parametrize("fps", [25.0, 24000 / 1001])
def test_joined_parts_play_as_one(tmp_path: Path, codec: str, fps: float) -> None:
    kind = CODECS[codec]
    frames = smooth(23, kind.bits)
    parts = []
    for start, stop in ((0, 9), (9, 10), (10, 23)):
        parts.append(tmp_path / f"{start}{kind.suffix}")
        write_video(parts[-1], frames[start:stop], codec=codec, fps=fps, crf=4)
    whole = tmp_path / ("whole" + kind.suffix)
    join_videos(parts, whole, codec=codec, fps=fps, comment="three")
    np.testing.assert_array_equal(decode(whole, kind.bits), np.concatenate([decode(p, kind.bits) for p in parts]))
    with av.open(str(whole)) as container:
        assert "three" in container.metadata.values()
        times = [frame.time for frame in container.decode(video=0)]
        assert container.duration / av.time_base == pytest.approx(23 / fps, abs=0.1 / fps)
    # Matroska counts in milliseconds.
    np.testing.assert_allclose(times, np.arange(23) / fps, atol=0.6e-3)


def test_parts_that_do_not_fit_are_not_joined(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", smooth(3, 8))
    write_video(tmp_path / "b.mp4", smooth(3, 8, 64, 64))
    with pytest.raises(FormatError, match=r"b\.mp4: coded otherwise"):
        join_videos([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "c.mp4", codec="h264", fps=25)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(FormatError, match=r"b\.mp4: damaged part"):
        join_videos([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "c.mp4", codec="h264", fps=25)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_unknown_codecs_and_depths_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"codec 'vp9'.*h264, prores, ffv1"):
        VideoWriter(tmp_path / "a.mkv", codec="vp9")
    with pytest.raises(ValueError, match=r"frame is uint8 .*expected uint16"):
        write_video(tmp_path / "a.mkv", smooth(1, 8), codec="ffv1")
