"""Environment maps on disk: Radiance HDR, OpenEXR, and 8/16-bit pictures with a warning."""

import logging
import os
from pathlib import Path

import numpy as np

from olatkit.color import decode_srgb
from olatkit.envmap import HALF_MAX, EnvironmentMap, find_clipped_light
from olatkit.errors import FormatError
from olatkit.geometry import direction_to_angles, row_solid_angles
from olatkit.io.exr import EXR_MAGIC, read_exr_header
from olatkit.io.images import read_image
from olatkit.latlong import turn_latlong
from olatkit.wording import counted

log = logging.getLogger(__name__)

AXES = {"+x": (1, 0, 0), "-x": (-1, 0, 0), "+y": (0, 1, 0), "-y": (0, -1, 0), "+z": (0, 0, 1), "-z": (0, 0, -1)}
REC709_CHROMATICITIES = np.array([0.64, 0.33, 0.30, 0.60, 0.15, 0.06])
# Higher than this, a file that is not twice as wide as high is taken for a mirror ball, a cube or a crop.
SMALL_ROWS = 64
# A flat top wider than this is a softbox, a window or a sky. Cut to a tenth of their peak, the five low suns of 18 published
# maps have 0.8 degrees.
LAMP_DEG = 6.0
# What the notes on flat tops and on negative values say, in short, so that banks can count them.
FLAT, LAMP, TRACE = "is flat over", "is evenly bright over", "slightly negative"
# Negative light below this share of the whole is what lossy compression leaves around black: 8 published maps in DWA EXR
# files have 7e-12 to 7e-7.
TRACE_SHARE = 1e-4
# An EXR file with fewer distinct values than this was an 8-bit picture once; a mere gradient has more.
EIGHT_BIT_VALUES = 256


def read_environment(
    path: str | os.PathLike[str], *, center: str = "-z", up: str = "+y", flip: bool = False, any_aspect: bool = False
) -> EnvironmentMap:
    """Read a lat-long environment map as linear Rec.709 radiance; what is odd about it is logged, faults as warnings.

    Parameters
    ----------
    path : path
        .hdr or .exr; PNG, JPEG or TIFF are decoded from sRGB with a warning, for they hold no bright light.
    center : {"-z", "+z", "+x", "-x", "+y", "-y"}
        World direction that the centre of the file shows. "-z", behind the subject as the camera sees it,
        is this package's own convention.
    up : {"+y", "-y", "+x", "-x", "+z", "-z"}
        World direction that the top row of the file shows, at right angles to ``center``. "-y" is a file that stands
        on its head.
    flip : bool
        Mirror left and right about the centre column first, for maps drawn as seen from outside the sphere.
    any_aspect : bool
        Accept a file of more than 64 rows that is not twice as wide as high.

    Returns
    -------
    EnvironmentMap
        float32; named after the file. Suns are never clamped.

    Raises
    ------
    FormatError
        Missing or damaged file, not a picture, another shape than lat-long, infinite values, no light at all.
    ValueError
        ``center`` or ``up`` is no axis, or both lie along the same one.

    Notes
    -----
    NaN and negative values become 0; one warning counts them and states their power. Negative ones of less than 1e-4 of
    the power, which lossy EXR compression leaves around black, are no more than information. Another warning names a small
    light with a flat top, whose sun was clipped; a wide one is a lamp as a rule, and no more than information either. Alpha
    is ignored.
    """
    environment, notes = examine_environment(path, center=center, up=up, flip=flip, any_aspect=any_aspect)
    for note in notes:
        log.log(logging.INFO if LAMP in note or TRACE in note else logging.WARNING, "%s: %s", path, note)
    return environment


def examine_environment(
    path: str | os.PathLike[str], *, center: str = "-z", up: str = "+y", flip: bool = False, any_aspect: bool = False
) -> tuple[EnvironmentMap, tuple[str, ...]]:
    """Read a map as :func:`read_environment` does, and return what is odd about it instead of logging it."""
    rotation = file_rotation(center, up)
    path = Path(path)
    image = read_image(path)
    notes: list[str] = []
    radiance = _clean(path, _as_radiance(path, image, notes), notes)
    if not any_aspect:
        _check_aspect(path, *radiance.shape[:2])
    if not radiance.any():
        raise FormatError(f"{path}: the map is black everywhere, expected some light")
    environment = _orient(EnvironmentMap(radiance[:, ::-1].copy() if flip else radiance, path.stem), rotation)
    if np.issubdtype(image.dtype, np.floating):
        notes += _about_clipping(environment)
    return environment, tuple(notes)


def file_rotation(center: str, up: str) -> np.ndarray:
    """Rotation (3, 3) from the axes of a file, centre -Z and top +Y, to the world's.

    Raises
    ------
    ValueError
        Not an axis, or both on the same one.
    """
    for name, value in (("center", center), ("up", up)):
        if value not in AXES:
            raise ValueError(f"{name} is '{value}', expected one of {', '.join(AXES)}")
    forward, upward = np.array(AXES[center], float), np.array(AXES[up], float)
    if forward @ upward:
        raise ValueError(f"center '{center}' and up '{up}' lie on one axis, expected a right angle between them")
    return np.stack([np.cross(forward, upward), upward, -forward], axis=1)


def _orient(environment: EnvironmentMap, rotation: np.ndarray) -> EnvironmentMap:
    """Turn a file's content into the world: pixels are moved where up stays vertical, and resampled elsewhere."""
    vertical = round(float(rotation[1, 1]))
    if not vertical:
        return EnvironmentMap(turn_latlong(environment.radiance, rotation)[0], environment.name)
    if vertical < 0:  # head over heels is half a turn about the line of sight
        environment = EnvironmentMap(environment.radiance[::-1, ::-1].copy(), environment.name)
        rotation = rotation @ np.diag([-1.0, -1.0, 1.0])
    yaw_deg = float(np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2])))
    return environment.rotate(yaw_deg) if yaw_deg else environment


def _check_aspect(path: Path, height: int, width: int) -> None:
    """Refuse large files of other shapes; say what they may be."""
    if height <= SMALL_ROWS or abs(width / height - 2) <= 0.02:
        return
    shapes = {1.0: "a mirror ball or fisheye", 4 / 3: "a cube's cross", 0.75: "a cube's cross", 6.0: "a strip of cube faces",
              1 / 6: "a strip of cube faces"}
    guess = next((f", perhaps {name}" for ratio, name in shapes.items() if abs(width / height / ratio - 1) < 0.02), "")
    raise FormatError(
        f"{path}: {width} x {height} pixels{guess}; expected a lat-long map, twice as wide as high. Convert it; if it "
        "does cover the sphere, 'olatkit envmap downsample --any-aspect' makes a map of it"
    )


def _as_radiance(path: Path, image: np.ndarray, notes: list[str]) -> np.ndarray:
    """Stored picture to linear RGB float32, (H, W, 3)."""
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    if rgb.shape[2] != 3:
        raise FormatError(f"{path}: {rgb.shape[2]} channels, expected red, green, blue or one grey channel")
    is_exr = _is_exr(path)
    if np.issubdtype(rgb.dtype, np.integer):
        if is_exr:
            raise FormatError(f"{path}: an EXR file of whole numbers ({rgb.dtype}), expected half or float radiance")
        notes.append(f"{8 * rgb.dtype.itemsize}-bit picture, decoded as sRGB; it holds no light brighter than white, "
                     "suns are lost")
        return decode_srgb(rgb.astype(np.float64) / np.iinfo(rgb.dtype).max).astype(np.float32)
    if is_exr:
        notes += _about_primaries(path) + _about_eight_bits(rgb)
    return rgb.astype(np.float32)


def _is_exr(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(EXR_MAGIC)


def _about_primaries(path: Path) -> list[str]:
    """An EXR file that states other primaries than Rec.709; its white point may be an adapted one."""
    stated = read_exr_header(path).get("chromaticities")
    if stated is None or np.abs(np.asarray(stated[:6], float) - REC709_CHROMATICITIES).max() <= 0.03:
        return []
    shown = np.round(stated[:6], 3).tolist()
    return [f"its primaries are {shown}, not Rec.709; colours will be off, convert the file first"]


def _about_eight_bits(rgb: np.ndarray) -> list[str]:
    """A linear format that carries an 8-bit picture."""
    peak = float(np.nanmax(rgb, initial=0))
    if peak > 255 or rgb.size < 16 * EIGHT_BIT_VALUES:
        return []
    if len(np.unique(rgb.ravel()[:: rgb.size // (4 * EIGHT_BIT_VALUES)])) > EIGHT_BIT_VALUES:
        return []  # a sample tells it for most files
    values = np.unique(rgb[np.isfinite(rgb)])
    if not 2 < len(values) <= EIGHT_BIT_VALUES:  # fewer: a drawn mask, not a photograph
        return []
    return [f"only {len(values)} different values up to {peak:g}: an 8-bit picture in an EXR file. Its suns are lost, and "
            "if it was never linearised its colours are sRGB; use the original HDR file"]


def _about_clipping(environment: EnvironmentMap) -> list[str]:
    """A light with a flat top, where it stands and what it means."""
    clipped = find_clipped_light(environment)
    if clipped is None:
        return []
    elevation_deg, azimuth_deg = direction_to_angles(clipped.direction)
    where = f"the brightest light (elevation {elevation_deg:.0f}, azimuth {azimuth_deg:.0f} degrees)"
    top = f"{counted(clipped.pixels, 'pixel')}, {clipped.width_deg:.2g} degrees across, at {clipped.peak:.4g}"
    if clipped.width_deg > LAMP_DEG and clipped.peak != HALF_MAX:
        return [f"{where} {LAMP} {top}, as a softbox is (a window or a sky would be cut off there)"]
    cause = "the largest half float" if clipped.peak >= HALF_MAX else "the top of the recording"
    return [f"{where} {FLAT} {top}, {cause}: a clipped sun, or a small, evenly bright lamp. A clipped sun is weaker than it "
            "was, and shadows are too soft"]


def _clean(path: Path, radiance: np.ndarray, notes: list[str]) -> np.ndarray:
    """Refuse infinite values; set NaN and negative ones to 0 and say how many and how much."""
    if not np.isfinite(radiance).all() and np.isinf(radiance).any():
        row, column, _ = np.argwhere(np.isinf(radiance))[0]
        raise FormatError(
            f"{path}: {counted(int(np.isinf(radiance).sum()), 'infinite value')}, the first at row {row}, column {column}; "
            "half floats end at 65504: export the map with 32-bit floats"
        )
    if radiance.min() >= 0:  # false for NaN too
        return radiance
    nan, negative = np.isnan(radiance), radiance < 0
    clean = np.where(radiance > 0, radiance, np.float32(0))
    found = _told({"negative": int(negative.sum()), "NaN": int(nan.sum())})
    if not clean.any():
        if nan.all() or negative.all():
            raise FormatError(f"{path}: every value is {'NaN' if nan.all() else 'negative'}, expected some light")
        raise FormatError(f"{path}: the map has no light, only {found} and zeros, expected some light")
    solid_angles = row_solid_angles(*radiance.shape[:2])
    lost = float(-radiance[negative] @ solid_angles[np.nonzero(negative)[0]])
    share = lost / float(clean.sum(axis=(1, 2), dtype=np.float64) @ solid_angles)
    if not nan.any() and share < TRACE_SHARE:
        notes.append(f"{counted(int(negative.sum()), f'{TRACE} value')} set to 0 ({share:.2g} of the whole power)")
    else:
        power = f" (negative power {lost:.3g}, {share:.2g} of the whole)" if negative.any() else ""
        notes.append(f"{found} set to 0{power}")
    return clean


def _told(counts: dict[str, int]) -> str:
    """Such as '3 negative and 1 NaN values', without what there is none of."""
    seen = {kind: count for kind, count in counts.items() if count}
    kinds = " and ".join(f"{count} {kind}" for kind, count in seen.items())
    return f"{kinds} value" + ("s" if sum(seen.values()) > 1 else "")
