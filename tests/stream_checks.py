"""Frames, and what every stream of frames promises."""

import json
import pickle

import numpy as np
import pytest

from olatkit.io.streams import FrameStream

RNG = np.random.default_rng(8)
MOSAIC = RNG.integers(0, 4096, (5, 4, 6), dtype=np.uint16)
COLOUR8 = RNG.integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
FLOATS = RNG.random((5, 4, 6, 3), dtype=np.float32) * 9


def write_sidecar(path, **content):
    path.write_text(json.dumps({"frame_rate_hz": 1000, **content}))


def check_protocol(stream, frames):
    """What every stream promises, whatever its source."""
    assert isinstance(stream, FrameStream)
    assert len(stream) == len(frames)
    assert stream.shape == frames.shape[1:]
    assert stream.times_s.shape == (len(frames),)
    assert stream.times_s[0] == 0
    read = stream.read(0, len(frames))
    assert read.dtype == frames.dtype
    np.testing.assert_array_equal(read, frames)
    np.testing.assert_array_equal(stream.read(2, 4), frames[2:4])
    assert stream.read(1, 1).shape == (0, *frames.shape[1:])
    read[:] = 0  # the caller's own
    np.testing.assert_array_equal(stream.read(0, 1), frames[:1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stream)).read(3, 5), frames[3:5])
    with pytest.raises(IndexError, match="frames 0 to 99, expected a range within 0 to 5"):
        stream.read(0, 99)
