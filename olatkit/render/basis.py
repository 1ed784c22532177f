"""One imageset kept where it is relit often: on a GPU, in codes, or in bfloat16 for CPUs with matrix units."""

import math
from typing import Any

import numpy as np

from olatkit.errors import ConfigError
from olatkit.imageset import Imageset
from olatkit.io.codes import encode
from olatkit.render.relight import check_weights, in_threads, relight, relight_codes, result_array

PRECISIONS = ("float32", "bfloat16", "sqrt12")
# Pixels that one product in bfloat16 completes: the sums of a block stay in the cache until they are unpacked.
BFLOAT16_PIXELS = 4096


class LightingBasis:
    """An imageset prepared for many lightings.

    Parameters
    ----------
    imageset : Imageset or ndarray, shape (L, H, W, 3)
        Linear images, one per light; with precision sqrt12 also uint16 codes, 0 to 4095, as
        :meth:`Take.read_codes` gives them; other precisions take such numbers for light.
    device : str
        "cpu", or a torch device such as "cuda": the images are copied to it once and stay there.
    precision : {"float32", "bfloat16", "sqrt12"}
        bfloat16 has 8 bits of mantissa. It halves the memory, and CPUs with matrix units for it (AMX) multiply it
        faster; one relit value then errs by about 0.2 % (rms), see ``benchmarks/relight.py``. sqrt12 are the codes of
        12 bits in which takes are stored: half the memory of float32 too, nothing lost of a stored take, and one
        lighting takes less time. They are for the CPU.

    Raises
    ------
    ConfigError
        An unknown precision, a device that is not there, or values beyond the range of the codes, -0.146 to 4.

    Notes
    -----
    On the CPU in float32 nothing is copied: :func:`~olatkit.render.relight.relight` reads the images as they are.
    Elsewhere they are kept as three colour planes (3, L, H * W), and a lighting is one matrix product per plane.
    """

    def __init__(
        self, imageset: Imageset | np.ndarray, *, device: str = "cpu", precision: str = "float32"
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"precision is '{precision}', expected one of {', '.join(PRECISIONS)}")
        images = imageset.radiance if isinstance(imageset, Imageset) else np.asarray(imageset)
        self._images, self._planes, self._coded = images, None, precision == "sqrt12"
        if self._coded:
            if device != "cpu":
                raise ConfigError(f"precision is 'sqrt12' on device '{device}'; give float32 or bfloat16 there")
            self._images = images if images.dtype == np.uint16 else _codes(images)
        elif device != "cpu" or precision != "float32":
            self._planes = _planes(images, device, precision)

    def relight(self, weights: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """Relit pictures (H, W, 3) or (K, H, W, 3) float32 for weights (L, 3) or (K, L, 3), as ``relight`` gives."""
        if self._coded:
            return relight_codes(self._images, weights, out=out)
        if self._planes is None:
            return relight(self._images, weights, out=out)
        weights = check_weights(self._images, weights)
        out = result_array(self._images, weights, out)
        if self._planes.device.type == "cpu" and self._planes.element_size() == 2:
            self._relight_bfloat16(weights, out)
        else:
            import torch

            torch.from_numpy(out).copy_(self.relight_on_device(weights))
        return out

    def _relight_bfloat16(self, weights: np.ndarray, out: np.ndarray) -> None:
        """On the CPU: blocks of pixels shared among threads, each of which multiplies and unpacks its own."""
        import torch

        from olatkit.render.kernels import join_bfloat16

        planes: Any = self._planes
        factors = torch.from_numpy(np.ascontiguousarray(weights, np.float32)).to(torch.bfloat16)
        factors = factors.reshape(math.prod(weights.shape[:-2]), *weights.shape[-2:]).permute(2, 0, 1).contiguous()
        pixels = out.reshape(factors.shape[1], planes.shape[2], 3)

        def sum_block(start: int, stop: int) -> None:
            sums = [(factor @ plane[:, start:stop]) for factor, plane in zip(factors, planes, strict=True)]
            red, green, blue = (part.view(torch.uint16).numpy() for part in sums)
            join_bfloat16(red, green, blue, pixels, start)

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the threads are ours
        try:
            in_threads(sum_block, planes.shape[2], BFLOAT16_PIXELS)
        finally:
            torch.set_num_threads(threads)

    def relight_on_device(self, weights: np.ndarray) -> Any:
        """The same as a torch tensor that stays on the device; not for a float32 basis on the CPU."""
        import torch

        if self._planes is None:
            raise ValueError("a basis of float32 or codes on the CPU has no tensor; call relight")
        weights = check_weights(self._images, weights)
        factors = torch.from_numpy(np.ascontiguousarray(weights, np.float32)).to(self._planes)
        factors = factors.reshape(math.prod(weights.shape[:-2]), *weights.shape[-2:])
        out = torch.empty((len(factors), self._planes.shape[2], 3), dtype=torch.float32, device=self._planes.device)
        for channel in range(3):
            out[:, :, channel] = factors[:, :, channel] @ self._planes[channel]
        return out.reshape(*weights.shape[:-2], *self._images.shape[1:])


def _codes(images: np.ndarray) -> np.ndarray:
    """Codes of radiance; a ConfigError if they cannot hold it."""
    codes, beyond = encode(images)
    if beyond:
        raise ConfigError(
            f"{beyond} of {images.size} values lie beyond the codes' range, -0.146 to 4; give precision float32"
        )
    return codes


def _planes(images: np.ndarray, device: str, precision: str) -> Any:
    """Colour planes (3, L, P) on a device; one plane at a time is in memory twice."""
    import torch

    target = check_device(device)
    lights, height, width, _ = images.shape
    flat = torch.from_numpy(np.ascontiguousarray(images, np.float32)).reshape(lights, height * width, 3)
    planes = torch.empty((3, *flat.shape[:2]), dtype=getattr(torch, precision), device=target)
    for channel in range(3):
        planes[channel] = flat[:, :, channel].to(planes.dtype).to(target)
    return planes


def check_device(device: str) -> Any:
    """The torch device of that name, or a ConfigError if there is none."""
    import torch

    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(f"device '{device}' cannot be used ({reason}); use --device cpu") from error
    return target
