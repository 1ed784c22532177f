"""Parts of an imageset that is made light by light: one file per light, joined into a take of one imageset."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io import codes as radiance_codes
from olatkit.io.hdf5_files import hdf5
from olatkit.io.take_writing import ImagesetRows, PartWriter, TakeHeader, merge_parts
from olatkit.rig import LightRig

NO_TICK = -2147483648


def write_light_part(
    path: Path, codes: np.ndarray, header: TakeHeader, digest: str, *, quality: int, beyond: int
) -> None:
    """Write the stored values (h, w, 3) of one light; the file is there when it is whole."""
    rig = LightRig("one light", np.array([[0.0, 0.0, 1.0]]))
    with PartWriter(path, replace(header, rig=rig), digest) as part:
        part.write_light(0, codes)
        empty = np.zeros((1, 1, 3), np.float32)
        part.finish(_rows(empty, np.array([quality], np.uint8), {"beyond_codes": float(beyond)}))


def join_light_parts(
    parts: Sequence[Path], out: Path, header: TakeHeader, digest: str, *, overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None, mark: Callable[[Path], object] | None = None,
) -> None:
    """Join the parts of all lights into a take of one imageset; ``mark`` as in :func:`merge_parts`.

    Its ``full`` is the sum of all lights, each times its gain: what the camera would see with all of them on.

    Raises
    ------
    FormatError
        A part is damaged.
    OutputExistsError
        ``out`` exists and ``overwrite`` is false.
    """
    whole = parts[0].with_name("imageset.h5")
    height, width = header.box[2:]
    full = np.zeros((height, width, 3), np.float64)
    quality, beyond = np.zeros(len(parts), np.uint8), 0
    with PartWriter(whole, header, digest) as joined:
        for light, path in enumerate(parts):
            codes, quality[light], count = _read_light_part(path)
            joined.write_light(light, codes)
            beyond += count
            linear = radiance_codes.decode(codes) if header.encoding == "sqrt12" else codes
            if header.rig.enabled[light]:
                full += linear * header.rig.gains[light].astype(np.float32)
            if progress is not None:
                progress(light + 1, len(parts))
        joined.finish(_rows(full.astype(np.float32), quality, {"beyond_codes": float(beyond)}))
    merge_parts([whole], out, header, overwrite=overwrite, mark=mark)


def _read_light_part(path: Path) -> tuple[np.ndarray, int, int]:
    """Stored values (h, w, 3), quality and values beyond the codes."""
    try:
        with hdf5().File(path, "r", locking=False) as file:
            return file["codes"][0], int(file["quality"][0]), int(file["stats"]["beyond_codes"][()])
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path}: damaged part: {error}; delete it and run again") from error


def _rows(full: np.ndarray, quality: np.ndarray, stats: dict[str, float]) -> ImagesetRows:
    """Rows of an imageset that was not demultiplexed: no ticks, no reference frame."""
    lights = len(quality)
    ticks = np.full((lights, 2), NO_TICK, np.int32)
    return ImagesetRows(full, quality, ticks, np.zeros(lights, np.float32), -1, 0, 0.0, stats)
