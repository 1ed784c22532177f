"""Streams from video files, made linear by a transfer curve that the caller must name."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import ConfigError, FormatError
from olatkit.io.sources import ArrayStream
from olatkit.io.transfer import TRANSFERS, make_transfer_table, parse_transfer

_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5  # colour matrices, code points of ITU-T H.273


@dataclass(frozen=True)
class VideoFrames:
    """Frames of a video, decoded on demand from the key frame before them.

    Attributes
    ----------
    path : Path
        The file; opened for every slice, so instances may be shared between threads and pickled.
    shape : tuple
        (N, H, W, 3).
    stamps : ndarray, shape (N,), int64
        Presentation time of every frame in units of the stream, rising.
    table : ndarray, shape (65536,), float32
        Linear light of every 16-bit code that the decoder gives.
    """

    path: Path
    shape: tuple[int, ...]
    stamps: np.ndarray = field(repr=False)
    table: np.ndarray = field(repr=False)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    def __getitem__(self, frames: slice) -> np.ndarray:
        import av

        start, stop, _ = frames.indices(self.shape[0])
        out = np.empty((stop - start, *self.shape[1:]), np.float32)
        done = 0
        try:
            with av.open(str(self.path)) as container:
                stream = container.streams.video[0]
                container.seek(int(self.stamps[start]), stream=stream)
                for picture in container.decode(stream) if start < stop else ():
                    if picture.pts is None or picture.pts < self.stamps[start + done]:
                        continue
                    if picture.pts != self.stamps[start + done]:
                        break  # a frame is missing: reported below
                    out[done] = self.table[_to_codes(picture)]
                    done += 1
                    if done == len(out):
                        break
        except av.FFmpegError as error:
            raise FormatError(f"{self.path}: frame {start + done} cannot be decoded: {error.strerror}") from None
        if done < len(out):
            raise FormatError(f"{self.path}: frame {start + done} cannot be decoded: the video is damaged there")
        return out


def open_video(path: str | os.PathLike[str], *, transfer: str | float | None) -> ArrayStream:
    """Open a video as linear float32 frames (H, W, 3), 0 to 1.

    Parameters
    ----------
    path : path-like
        Any file that FFmpeg reads; its first video stream is used. Alpha is dropped.
    transfer : {'srgb', 'rec709', 'linear'} or float
        The curve of its values, or a gamma. Required, because files rarely say it and often wrongly.

    Raises
    ------
    FormatError
        If the video is damaged or has no frames.
    ConfigError
        If ``transfer`` is missing or unknown.

    Notes
    -----
    Values are R'G'B' of the file's own colour matrix and range; where it names no matrix, BT.709 from 720 rows on and
    BT.601 below, as players do. Rotation that the container asks a player for is not applied. Times are those of the
    container, so variable frame rates are kept.
    """
    import av

    path = Path(path)
    if transfer is None:
        raise ConfigError(f"{path}: video is not linear: give transfer={TRANSFERS}")
    curve = parse_transfer(transfer)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FormatError(f"{path}: has no video stream")
            stream = container.streams.video[0]
            first = next(iter(container.decode(stream)), None)
            stamps = _list_stamps(container, stream)
            time_base, rate = stream.time_base, stream.average_rate or stream.guessed_rate
    except av.FFmpegError as error:
        raise FormatError(f"{path}: not a video that can be read: {error.strerror}") from None
    if first is None or not len(stamps) or not rate or not time_base:
        raise FormatError(f"{path}: has no frames, or no frame rate")
    table = make_transfer_table(curve, 65536, white=_white_code(first))
    times_s = (stamps - stamps[0]) * float(time_base)
    frames = VideoFrames(path, (len(stamps), first.height, first.width, 3), stamps, table)
    return ArrayStream(frames, float(rate), times_s=times_s, name=str(path))


def read_comment(path: str | os.PathLike[str]) -> str:
    """The comment of a video, '' if it has none."""
    import av

    with av.open(str(path)) as container:
        return {name.lower(): value for name, value in container.metadata.items()}.get("comment", "")


def _list_stamps(container: Any, stream: Any) -> np.ndarray:
    """Presentation times of all frames, from the packets: nothing is decoded."""
    container.seek(0, stream=stream)
    stamps = [packet.pts for packet in container.demux(stream) if packet.pts is not None and not packet.is_discard]
    return np.unique(np.array(stamps, np.int64))


def _to_codes(picture: Any) -> np.ndarray:
    """Codes (H, W, 3) uint16 of a decoded picture in R'G'B'; :func:`_white_code` is full scale."""
    matrix = picture.colorspace
    if matrix == _UNSPECIFIED:
        matrix = _BT709 if picture.height >= 720 else _BT601
    return picture.reformat(format="gbrp16le", src_colorspace=int(matrix)).to_ndarray()


def _white_code(picture: Any) -> int:
    """FFmpeg shifts codes up to 16 bits and does not stretch them, so white is below 65535 (8 bits: 255 x 256)."""
    bits = picture.format.components[0].bits if picture.format.is_rgb else 8  # YUV counts like 8 bits at any depth
    return (2**bits - 1) << (16 - bits)
