"""Ground truth of a simulated take: exact OLAT images, normals, labels, coverage and flow at reference instants."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olatkit.io.hdf5_files import new_file
from olatkit.io.outputs import whole_file

if TYPE_CHECKING:
    import h5py


class TruthWriter:
    """Fills the datasets of a truth file, one reference instant after another; made by :func:`write_truth`."""

    def __init__(self, file: "h5py.File", shape: tuple[int, int, int, int], units: Mapping[str, float]) -> None:
        self._file, self._units = file, float(units["codes_per_unit"])
        self._scale = float(units["full_scale_codes"]) / self._units
        self._clipped = 0
        count, lights, height, width = shape

        def make(name: str, shape: tuple[int, ...], dtype: str) -> None:
            # One picture per chunk; the shuffle filter makes the slowly varying high bytes compress well.
            picture = 2 if len(shape) == 3 else 3
            chunks = (1,) * (len(shape) - picture) + shape[-picture:]
            file.create_dataset(
                name, shape, dtype, chunks=chunks, compression="gzip", compression_opts=4, shuffle=True,
                track_times=False,
            )

        make("olat", (count, lights, height, width, 3), "u2")
        make("full", (count, height, width, 3), "u2")
        make("mask", (count, height, width), "u1")
        make("normal", (count, height, width, 3), "f2")
        make("label", (count, height, width), "u1")
        if count > 1:
            make("flow_fw", (count - 1, height, width, 2), "f4")
            make("flow_bw", (count - 1, height, width, 2), "f4")
            make("occ_fw", (count - 1, height, width), "u1")
            make("occ_bw", (count - 1, height, width), "u1")
        for name in ("olat", "full"):
            file[name].attrs.update(units)

    def write_instant(
        self, index: int, *, olat: np.ndarray, full: np.ndarray, alpha: np.ndarray, normal: np.ndarray,
        label: np.ndarray,
    ) -> None:
        """Store one instant; ``olat`` (L, H, W, 3) and ``full`` are relative to full scale, ``alpha`` is 0 to 1."""
        self._file["olat"][index] = self._encode(olat)
        self._file["full"][index] = self._encode(full)
        self._file["mask"][index] = np.round(alpha * 255).astype(np.uint8)
        self._file["normal"][index] = normal
        self._file["label"][index] = label

    def write_flow(
        self, index: int, *, forward: np.ndarray, backward: np.ndarray, hidden_fw: np.ndarray, hidden_bw: np.ndarray
    ) -> None:
        """Store flows [px] between instants ``index`` and ``index + 1``: fw on the first grid, bw on the second."""
        self._file["flow_fw"][index] = forward
        self._file["flow_bw"][index] = backward
        self._file["occ_fw"][index] = hidden_fw
        self._file["occ_bw"][index] = hidden_bw

    def _encode(self, image: np.ndarray) -> np.ndarray:
        """Codes above black; what exceeds 16 bits is counted in the attribute ``clipped_values``."""
        codes = np.round(image * self._scale)
        over = int((codes > 65535).sum())
        if over:
            self._clipped += over
            self._file.attrs["clipped_values"] = self._clipped
        return np.minimum(codes, 65535).astype(np.uint16)


@contextmanager
def write_truth(
    path: str | os.PathLike[str], *, shape: tuple[int, int, int, int], arrays: Mapping[str, np.ndarray],
    attributes: Mapping[str, object], overwrite: bool = False,
) -> Iterator[TruthWriter]:
    """Write a truth file; it appears whole when the block ends without an error.

    Parameters
    ----------
    path : path
        Usually ``truth.h5``.
    shape : tuple
        Instants, lights, height, width.
    arrays : mapping
        Small datasets stored as they are (``r``, ``r_tick``, ``tick``, ...).
    attributes : mapping
        Attributes of the file; must hold ``codes_per_unit`` and ``full_scale_codes``. A stored value times
        ``codes_per_unit`` is sensor codes above black.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is false.
    OSError
        It cannot be written whole, for example to a full disk; told at the end of the block.
    """
    with whole_file(path, overwrite=overwrite) as part, new_file(part) as file:
        file.attrs.update(attributes)
        file.attrs["clipped_values"] = 0
        for name, value in arrays.items():
            file.create_dataset(name, data=value, track_times=False)
        units = {key: attributes[key] for key in ("codes_per_unit", "full_scale_codes")}
        yield TruthWriter(file, shape, units)  # type: ignore[arg-type]


def read_truth(path: str | os.PathLike[str], index: int) -> dict[str, np.ndarray]:
    """One instant of a truth file: ``olat`` and ``full`` as float32 relative to full scale, the rest as stored."""
    import h5py

    with h5py.File(Path(path)) as file:
        scale = np.float32(file.attrs["codes_per_unit"] / file.attrs["full_scale_codes"])
        out = {name: file[name][index] for name in ("mask", "normal", "label")}
        out["olat"] = file["olat"][index].astype(np.float32) * scale
        out["full"] = file["full"][index].astype(np.float32) * scale
        return out
