"""The camera's sensor: colour filters, photon and read noise, quantisation, saturation, bad pixels."""

from dataclasses import dataclass

import numpy as np

from olatkit.errors import ConfigError

_FILTERS = {"r": 0, "g": 1, "b": 2}


@dataclass(frozen=True)
class Sensor:
    """A linear sensor; the defaults are those of a 12-bit high-speed camera.

    Parameters
    ----------
    bits : int
        Bit depth of the codes.
    black_level, white_level : int
        Code of no light and of a full well.
    full_well_e : float
        Electrons at full scale.
    read_noise_e : float
        Standard deviation of the read noise in electrons.
    bayer : str
        Filters of the top-left 2x2 pixels, row by row: 'gbrg', 'rggb', 'grbg' or 'bggr'.
    bad_pixels : float
        Share of pixels that are stuck, half of them at black and half at white.
    noise : bool
        False gives rounded, noise-free codes.
    seed : int
        Noise of every frame and the place of bad pixels; a frame's noise depends on seed and tick alone.

    Raises
    ------
    ConfigError
        Numbers out of range.
    """

    bits: int = 12
    black_level: int = 64
    white_level: int = 4095
    full_well_e: float = 20000.0
    read_noise_e: float = 20.0
    bayer: str = "gbrg"
    bad_pixels: float = 0.0
    noise: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.black_level < self.white_level < 2**self.bits:
            raise ConfigError(
                f"black level {self.black_level} and white level {self.white_level} with {self.bits} bits, "
                f"expected 0 <= black < white < {2**self.bits}"
            )
        if self.bayer not in ("gbrg", "rggb", "grbg", "bggr"):
            raise ConfigError(f"bayer pattern {self.bayer!r}, expected gbrg, rggb, grbg or bggr")
        if self.full_well_e <= 0 or self.read_noise_e < 0 or not 0 <= self.bad_pixels < 0.5:
            raise ConfigError(
                f"full_well_e {self.full_well_e}, read_noise_e {self.read_noise_e}, bad_pixels {self.bad_pixels}: "
                "expected > 0, >= 0 and 0 to 0.5"
            )

    @property
    def full_scale_codes(self) -> int:
        """Codes between no light and a full well."""
        return self.white_level - self.black_level

    def expose(self, light: np.ndarray, tick: int) -> np.ndarray:
        """Record one frame.

        Parameters
        ----------
        light : ndarray, shape (H, W, 3)
            Linear, 1.0 = full well, not negative.
        tick : int
            Camera clock of the frame; picks the noise.

        Returns
        -------
        ndarray, shape (H, W), uint16
            Raw Bayer codes.
        """
        raw = mosaic(light, self.bayer).astype(np.float64) * self.full_well_e
        if self.noise:
            rng = np.random.default_rng([self.seed, 4, tick])
            raw = rng.poisson(raw) + self.read_noise_e * rng.standard_normal(raw.shape)
        codes = self.black_level + raw * (self.full_scale_codes / self.full_well_e)
        out = np.clip(np.round(codes), 0, self.white_level).astype(np.uint16)
        if self.bad_pixels:
            stuck = self.bad_pixel_map(out.shape)
            out[stuck == 1] = self.black_level
            out[stuck == 2] = self.white_level
        return out

    def bad_pixel_map(self, shape: tuple[int, ...]) -> np.ndarray:
        """0 for good pixels, 1 stuck at black, 2 stuck at white; uint8."""
        draw = np.random.default_rng([self.seed, 5]).random(shape)
        return ((draw < self.bad_pixels).astype(np.uint8) + (draw < self.bad_pixels / 2)).astype(np.uint8)


def mosaic(image: np.ndarray, bayer: str) -> np.ndarray:
    """Keep the channel of each pixel's filter: (H, W, 3) to (H, W)."""
    out = np.empty(image.shape[:2], image.dtype)
    for k, letter in enumerate(bayer):
        y, x = divmod(k, 2)
        out[y::2, x::2] = image[y::2, x::2, _FILTERS[letter]]
    return out
