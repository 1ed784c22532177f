"""Video files written from pictures, tagged so that players show the colours that were meant."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.outputs import whole_file

log = logging.getLogger(__name__)

# Code points of ITU-T H.273.
BT709 = 1
RGB_MATRIX = 0
LIMITED_RANGE, FULL_RANGE = 1, 2
TRANSFERS = {"srgb": 13, "linear": 8}


@dataclass(frozen=True)
class Codec:
    """How pictures become a file: container, encoder, its pixels and options, and the bits of the pictures it takes."""

    suffix: str
    container: str
    encoder: str
    pixels: str
    bits: int
    halves: tuple[int, int] = (1, 1)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_rgb(self) -> bool:
        """True if the file stores R, G and B as they are."""
        return self.pixels.startswith("gbr")


# ``halves``: by how much height and width of the colour planes are reduced, which sizes must divide by.
CODECS = {
    "h264": Codec(".mp4", "mp4", "libx264", "yuv420p", 8, (2, 2), {"preset": "medium"}),
    "prores": Codec(".mov", "mov", "prores_ks", "yuv422p10le", 16, (1, 2), {"profile": "3", "vendor": "apl0"}),
    "ffv1": Codec(".mkv", "matroska", "ffv1", "gbrp16le", 16, (1, 1), {"level": "3"}),
}


def write_video(
    path: str | os.PathLike[str], frames: Iterable[np.ndarray], *, fps: float = 25.0, crf: int = 16,
    codec: str = "h264", transfer: str = "srgb", overwrite: bool = False,
) -> None:
    """Write pictures as a video, by default sRGB as H.264 in MP4; see :class:`VideoWriter`."""
    with VideoWriter(path, fps=fps, crf=crf, codec=codec, transfer=transfer, overwrite=overwrite) as video:
        for frame in frames:
            video.add(frame)


class VideoWriter(AbstractContextManager["VideoWriter"]):
    """A video that appears whole when the context ends, and not at all after an error.

    Parameters
    ----------
    path : path
        The file.
    fps : float
        Frames per second.
    crf : int
        Quality of x264, 0 (largest) to 51; 16 is hard to tell from the source. H.264 only.
    codec : {"h264", "prores", "ffv1"}
        H.264 in MP4, 8 bits, 4:2:0; ProRes 422 HQ in MOV, 10 bits; FFV1 in MKV, 16-bit RGB without loss. The last
        two take uint16 pictures.
    transfer : {"srgb", "linear"}
        The curve of the pictures' codes, for the file's tags.
    comment : str
        Stored in the file.
    overwrite : bool
        Replace an existing file; otherwise it is an OutputExistsError.

    Notes
    -----
    BT.709 primaries; H.264 and ProRes have the BT.709 matrix and limited range. Their colour planes are smaller than
    the picture, which only even sizes allow: odd pictures get their last row or column twice.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, fps: float = 25.0, crf: int = 16, codec: str = "h264",
        transfer: str = "srgb", comment: str = "", overwrite: bool = False,
    ) -> None:
        if not fps > 0:
            raise ValueError(f"fps is {fps:g}, expected a positive number")
        if codec not in CODECS or transfer not in TRANSFERS:
            raise ValueError(f"codec '{codec}', transfer '{transfer}': expected one of {', '.join(CODECS)} and of "
                             f"{', '.join(TRANSFERS)}")
        self._path, self._codec, self._transfer, self._comment = path, CODECS[codec], transfer, comment
        self._options = {**self._codec.options, **({"crf": str(crf)} if codec == "h264" else {})}
        self._rate = Fraction(fps).limit_denominator(1001)
        self._whole = whole_file(path, overwrite=overwrite)
        self._container: Any = None
        self._stream: Any = None
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> "VideoWriter":
        part = self._whole.__enter__()
        try:
            self._container = _open_container(part, self._codec, self._comment)
        except BaseException as error:
            self._whole.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def add(self, frame: np.ndarray) -> None:
        """Append one picture, shape (H, W, 3), uint8 for H.264 and uint16 for the others; all have one size."""
        import av

        frame = np.asarray(frame)
        if frame.dtype != f"uint{self._codec.bits}" or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(
                f"{self._path}: frame is {frame.dtype} {frame.shape}, expected uint{self._codec.bits} "
                "(height, width, 3)"
            )
        if self._stream is None:
            self._start(frame.shape)
        elif frame.shape != self._shape:
            raise ValueError(f"{self._path}: frame has shape {frame.shape}, the first had {self._shape}")
        height, width = self._codec.halves
        even = np.pad(frame, ((0, -frame.shape[0] % height), (0, -frame.shape[1] % width), (0, 0)), mode="edge")
        source = "rgb24" if self._codec.bits == 8 else "rgb48le"
        # One thread: FFmpeg's converter, given several, now and then spoils a few pixels where their shares meet.
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format=source)
        if self._codec.is_rgb:
            picture = picture.reformat(format=self._codec.pixels, threads=1)
        else:
            # Without the destination named, the converter uses the matrix of standard definition: greens shift.
            picture = picture.reformat(
                format=self._codec.pixels, dst_colorspace="ITU709", dst_color_range="MPEG", threads=1
            )
        # ProRes writes the tags of its pictures, not those of the stream, and has no word for the sRGB curve.
        picture.color_primaries, picture.color_trc = BT709, TRANSFERS[self._transfer]
        self._container.mux(self._stream.encode(picture))

    def _start(self, shape: tuple[int, ...]) -> None:
        """Open the encoder at the size of the first picture."""
        self._shape = shape
        codec = self._codec
        height, width = (size + -size % part for size, part in zip(shape[:2], codec.halves, strict=True))
        if (height, width) != shape[:2]:
            log.info("%s: %dx%d is padded to the even size %dx%d", self._path, shape[1], shape[0], width, height)
        stream = self._container.add_stream(codec.encoder, rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = width, height, codec.pixels
        stream.options = dict(self._options)
        context = stream.codec_context
        context.colorspace, context.color_range = (RGB_MATRIX, FULL_RANGE) if codec.is_rgb else (BT709, LIMITED_RANGE)
        context.color_primaries, context.color_trc = BT709, TRANSFERS[self._transfer]
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


def join_videos(
    parts: Sequence[Path], path: str | os.PathLike[str], *, codec: str, fps: float, comment: str = "",
    overwrite: bool = False,
) -> None:
    """Join videos of one codec, size and rate end to end; their coded frames are copied, not coded again.

    Raises
    ------
    FormatError
        A part is damaged, or unlike the first.
    OutputExistsError
        ``path`` exists and ``overwrite`` is false.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    orders = [_frame_order(part, rate) for part in parts]
    # Frames are decoded before they are shown; every coded frame is due as many frames early as the worst needs.
    early = max(place - shown for order in orders for place, shown in enumerate(order))
    with whole_file(path, overwrite=overwrite) as whole, _open_container(whole, CODECS[codec], comment) as out:
        stream: Any = None
        start = 0
        for part, order in zip(parts, orders, strict=True):
            with av.open(str(part)) as source:
                given = source.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(given)
                elif given.codec_context.extradata != stream.codec_context.extradata:
                    raise FormatError(f"{part}: coded otherwise than the parts before it; delete it and run again")
                packets = [packet for packet in source.demux(given) if packet.pts is not None]
                for place, (packet, shown) in enumerate(zip(packets, order, strict=True)):
                    packet.time_base = 1 / rate
                    packet.pts, packet.dts = start + shown, start + place - early
                    packet.duration = 1
                    packet.stream = stream
                    out.mux(packet)
            start += len(order)


def _frame_order(part: Path, rate: Fraction) -> list[int]:
    """Number of the picture that each coded frame of a video holds, in the order in which they are stored."""
    import av

    try:
        with av.open(str(part)) as source:
            stream = source.streams.video[0]
            unit = stream.time_base or Fraction(0)
            times = [packet.pts * unit for packet in source.demux(stream) if packet.pts is not None]
    except (av.FFmpegError, IndexError) as error:
        raise FormatError(f"{part}: damaged part of a video: {error}; delete it and run again") from error
    order = [round(time * rate) for time in times]
    if sorted(order) != list(range(len(order))) or not order:
        raise FormatError(f"{part}: damaged part of a video: frames are missing; delete it and run again")
    return order


def _open_container(path: Path, codec: Codec, comment: str) -> Any:
    """A new container file."""
    import av

    options = {} if codec.container == "matroska" else {"movflags": "faststart"}
    container = av.open(str(path), "w", format=codec.container, options=options)
    if comment:
        container.metadata["comment"] = comment
    return container
