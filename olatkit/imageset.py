"""The imageset: one instant of a performance under every light, one image per light."""

from dataclasses import dataclass

import numpy as np

# Bits of the per-light quality flags.
ONE_SIDED = 1  # an observation within a cycle was missing: one further away took its place, or there was only one
INTERPOLATED = 2  # no observation: filled from neighbouring lights
SATURATED = 4  # more than 1 % of the raw values in the region are saturated in one of its frames
CROSSTALK = 8  # crosstalk could not be inverted (after a gap in the stream)
LOW_FLOW_CONFIDENCE = 16  # the motion around this observation was not tracked reliably
CLIPPED_CODES = 32  # values beyond the range of the stored codes

QUALITY_NAMES = {
    ONE_SIDED: "one-sided",
    INTERPOLATED: "interpolated",
    SATURATED: "saturated",
    CROSSTALK: "crosstalk uncorrected",
    LOW_FLOW_CONFIDENCE: "low flow confidence",
    CLIPPED_CODES: "beyond the code range",
}


@dataclass(frozen=True, eq=False)
class Imageset:
    """All OLAT images of one instant, aligned to it.

    Parameters
    ----------
    radiance : ndarray, shape (L, H, W, 3), float32, C-contiguous
        Linear; 1.0 is the camera's full scale before per-light gain and colour matrix. Slightly negative values
        are noise around black and are kept. Zeros outside the region of interest.
    full : ndarray, shape (H, W, 3), float32
        Tracking frame at the reference instant divided by its drive: all lights at single-light drive.
    time_s : float
        Reference instant in seconds from the first frame.
    quality : ndarray, shape (L,), uint8
        Bits of this module's constants, 0 = nothing to report.
    provenance : tuple of (str, str)
        Where the data came from, as key and value.
    """

    radiance: np.ndarray
    full: np.ndarray
    time_s: float
    quality: np.ndarray
    provenance: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.radiance.ndim != 4 or self.radiance.shape[3] != 3:
            raise ValueError(f"radiance has shape {self.radiance.shape}, expected (lights, height, width, 3)")
        if self.full.shape != self.radiance.shape[1:]:
            raise ValueError(f"full has shape {self.full.shape}, expected {self.radiance.shape[1:]}")
        if self.quality.shape != (len(self.radiance),):
            raise ValueError(f"quality has shape {self.quality.shape}, expected ({len(self.radiance)},)")
        for label, value in (("radiance", self.radiance), ("full", self.full)):
            if value.dtype != np.float32 or not value.flags.c_contiguous:
                raise TypeError(f"{label} is {value.dtype}, expected C-contiguous float32")
            # One reduction finds NaN and infinity without a mask the size of the imageset.
            if not np.isfinite(value.sum(dtype=np.float64)):
                raise ValueError(f"{label} holds values that are not finite")

    def __len__(self) -> int:
        return len(self.radiance)

    def __repr__(self) -> str:
        lights, height, width, _ = self.radiance.shape
        return f"Imageset({lights} lights, {width}x{height}, t = {self.time_s:.3f} s)"
