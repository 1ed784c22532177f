"""Video files written from pictures: H.264 in MP4, tagged so that players show the colours that were meant."""

import logging
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from fractions import Fraction
from types import TracebackType
from typing import Any

import numpy as np

from olatkit.io.outputs import whole_file

log = logging.getLogger(__name__)

# Code points of ITU-T H.273. The pictures are sRGB; the matrix and range are those of HD video.
BT709 = 1
SRGB_TRANSFER = 13
LIMITED_RANGE = 1


def write_video(
    path: str | os.PathLike[str], frames: Iterable[np.ndarray], *, fps: float = 25.0, crf: int = 16,
    overwrite: bool = False,
) -> None:
    """Write sRGB pictures as an H.264 MP4; see :class:`VideoWriter`."""
    with VideoWriter(path, fps=fps, crf=crf, overwrite=overwrite) as video:
        for frame in frames:
            video.add(frame)


class VideoWriter(AbstractContextManager["VideoWriter"]):
    """An MP4 that appears whole when the context ends, and not at all after an error.

    Parameters
    ----------
    path : path
        The MP4 file.
    fps : float
        Frames per second.
    crf : int
        Quality of x264, 0 (largest) to 51; 16 is hard to tell from the source.
    overwrite : bool
        Replace an existing file; otherwise it is an OutputExistsError.

    Notes
    -----
    yuv420p, BT.709 matrix and primaries, limited range, sRGB transfer. Chroma is halved, which only even sizes
    allow: odd pictures get their last row or column twice.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, fps: float = 25.0, crf: int = 16, overwrite: bool = False
    ) -> None:
        if not fps > 0:
            raise ValueError(f"fps is {fps:g}, expected a positive number")
        self._path, self._crf = path, crf
        self._rate = Fraction(fps).limit_denominator(1001)
        self._whole = whole_file(path, overwrite=overwrite)
        self._container: Any = None
        self._stream: Any = None
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> "VideoWriter":
        import av

        part = self._whole.__enter__()
        try:
            self._container = av.open(str(part), "w", format="mp4", options={"movflags": "faststart"})
        except BaseException as error:
            self._whole.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def add(self, frame: np.ndarray) -> None:
        """Append one sRGB picture, shape (H, W, 3), uint8; all have one size."""
        import av

        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"{self._path}: frame is {frame.dtype} {frame.shape}, expected uint8 (height, width, 3)")
        if self._stream is None:
            self._start(frame.shape)
        elif frame.shape != self._shape:
            raise ValueError(f"{self._path}: frame has shape {frame.shape}, the first had {self._shape}")
        even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        # Without the destination named, the converter uses the matrix of standard definition: greens shift.
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        self._container.mux(self._stream.encode(picture))

    def _start(self, shape: tuple[int, ...]) -> None:
        """Open the encoder at the size of the first picture."""
        self._shape = shape
        height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        if (height, width) != shape[:2]:
            log.info("%s: %dx%d is padded to the even size %dx%d", self._path, shape[1], shape[0], width, height)
        stream = self._container.add_stream("libx264", rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(self._crf), "preset": "medium"}
        context = stream.codec_context
        context.colorspace, context.color_range = BT709, LIMITED_RANGE
        context.color_primaries, context.color_trc = BT709, SRGB_TRANSFER
        self._stream = stream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._stream is None:
                    raise ValueError(f"{self._path}: a video needs at least one frame")
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except BaseException as failure:
            self._whole.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._whole.__exit__(kind, error, trace)
