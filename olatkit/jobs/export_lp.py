"""A take or rig to the light-position list that tools for reflectance transformation imaging read, with pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olatkit.color import encode_srgb
from olatkit.errors import FormatError
from olatkit.io.documents import read_rig
from olatkit.io.images import write_png
from olatkit.io.light_lists import SUFFIXES, write_lp
from olatkit.io.outputs import refuse_existing
from olatkit.io.takes import open_take
from olatkit.jobs.schedulers import Progress


@dataclass(frozen=True)
class LpSummary:
    """Lights listed, pictures written, and values that 8 or 16 bits cut at full scale."""

    lights: int
    pictures: int
    clipped: int


def export_lp(
    source: Path, out: Path, *, pictures: bool = True, imageset: int = 0, bits: int = 8, exposure_stops: float = 0.0,
    overwrite: bool = False, progress: Progress | None = None,
) -> LpSummary:
    """Write the lights in use as an ``.lp`` file, and for a take one sRGB picture per light beside it.

    Parameters
    ----------
    source : Path
        Take, or rig (.json, .csv, .lp); a rig has no pictures.
    out : Path
        ``NAME.lp``; pictures are ``NAME_LLLL.png`` in the same folder, named in the list.
    pictures : bool
        False writes the list alone.
    imageset : int
        Instant of the take.
    bits : {8, 16}
        Of the pictures.
    exposure_stops : float
        Brightness of the pictures in factors of two; 0 keeps 1.0 of the take as full scale.
    overwrite, progress
        As elsewhere.

    Returns
    -------
    LpSummary

    Raises
    ------
    FormatError
        A name that does not end in .lp, an imageset that is not there.
    """
    if out.suffix.lower() != ".lp":
        raise FormatError(f"{out}: lists of light positions end in .lp, not '{out.suffix}'")
    refuse_existing(out, overwrite=overwrite)
    if source.suffix.lower() in SUFFIXES:
        rig = read_rig(source)
        lights = np.flatnonzero(rig.enabled)
        write_lp(out, [f"{out.stem}_{light:04d}.png" for light in lights], rig.directions[lights], overwrite=overwrite)
        return LpSummary(len(lights), 0, 0)
    with open_take(source) as take:
        if not 0 <= imageset < len(take):
            raise FormatError(f"{source}: imageset {imageset} is not in the take, expected 0 ... {len(take) - 1}")
        lights = np.flatnonzero(take.rig.enabled)
        names = [f"{out.stem}_{light:04d}.png" for light in lights]
        for name in names if pictures else ():
            refuse_existing(out.parent / name, overwrite=overwrite)
        clipped = 0
        for done, (light, name) in enumerate(zip(lights, names, strict=True) if pictures else ()):
            linear = take.read_box(imageset, slice(light, light + 1))[0] * np.float32(2**exposure_stops)
            clipped += int((linear > 1).sum())
            write_png(out.parent / name, _frame(linear, take.shape, take.box, bits), overwrite=overwrite)
            if progress is not None:
                progress(done + 1, len(lights))
        write_lp(out, names, take.rig.directions[lights], overwrite=overwrite)
        return LpSummary(len(lights), len(names) if pictures else 0, clipped)


def _frame(
    linear: np.ndarray, shape: tuple[int, ...], box: tuple[int, ...], bits: int
) -> np.ndarray:
    """sRGB codes of the stored region in the full picture, black around it."""
    top, left, height, width = box
    out = np.zeros((*shape, 3), np.uint8 if bits == 8 else np.uint16)
    codes = np.round(np.clip(encode_srgb(linear), 0, 1) * (2**bits - 1))
    out[top : top + height, left : left + width] = codes.astype(out.dtype)
    return out
