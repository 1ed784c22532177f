"""Photographs of light probes to a rig: where the lights stand, and how bright each is."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from olatkit.capture.ball_finder import find_ball
from olatkit.capture.probes import (
    BEHIND,
    Ball,
    Camera,
    angles_deg,
    ball_normals,
    find_highlight,
    measure_gain,
    mirror_direction,
    normalise_gains,
)
from olatkit.errors import CaptureError, FormatError
from olatkit.io.photographs import SUFFIXES, read_grey
from olatkit.io.picture_names import match_files
from olatkit.io.takes import Take, open_take
from olatkit.jobs.schedulers import Progress, run_tasks
from olatkit.rig import LightRig
from olatkit.wording import counted

# Of a target's shading, in the median over the lights. Clean white balls are within some per cent; the simulated and
# scanned heads that a circle was found on are at 35 % and more.
MISFIT = 0.2


@dataclass(frozen=True, eq=False)
class LightDirections:
    """Lights found with one or several mirror balls.

    ``rig`` distant lights; ``balls`` where the balls are; ``seen_outline`` share of each outline that was found, 1
    for a given ball; ``spread_deg`` (L,) largest angle between what single balls say and their mean; ``unseen`` lights
    without a usable highlight, whose directions come from the rig given for them.
    """

    rig: LightRig
    balls: tuple[Ball, ...]
    seen_outline: tuple[float, ...]
    spread_deg: np.ndarray
    unseen: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LightGains:
    """Gains measured on a target.

    ``rig`` with them; ``unknown`` lights that got the median; ``ball`` if it was one; ``misfit`` (L,) distance of the
    target's shading from a white diffuse surface's under every light, as of :func:`measure_gain`.
    """

    rig: LightRig
    unknown: tuple[int, ...]
    ball: Ball | None
    misfit: np.ndarray


def find_light_directions(
    sources: Sequence[Path], *, pictures: str = "*", balls: Sequence[Ball] = (), ball_picture: str | None = None,
    transfer: str | float = "srgb", focal_px: float | None = None, center: tuple[float, float] | None = None,
    fallback: LightRig | None = None, name: str = "mirror ball", scheduler: str = "threads", workers: int | None = None,
    progress: Progress | None = None,
) -> LightDirections:
    """Directions of all lights from pictures of a mirror ball, one light each.

    Parameters
    ----------
    sources : sequence of Path
        One folder of photographs or one take per ball; directions of several balls are averaged.
    pictures : str
        Names of the photographs, such as ``Image_*.JPG``; their natural order is that of the lights. With ``*`` a name
        that is not like the others is refused: it may show no single light.
    balls : sequence of Ball
        Where the ball is in each source; found if empty.
    ball_picture : str, optional
        Picture in every folder in which the outline is looked for, and which shows no single light; the brightest of
        all pictures if None.
    transfer : str or float
        Curve of 8- and 16-bit photographs.
    focal_px : float, optional
        Focal length in pixels; None for a camera far away.
    center : (x, y), optional
        Principal point in pixels; the middle of the picture if None. Cropped pictures need it.
    fallback : LightRig, optional
        Directions for lights that no ball shows, such as those behind it, from the stage's drawing.
    name : str
        Of the rig.
    scheduler, workers, progress
        As for :func:`olatkit.jobs.schedulers.run_tasks`.

    Returns
    -------
    LightDirections

    Raises
    ------
    CaptureError
        Sources or a ``fallback`` with different numbers of lights, a photograph that may be no light, no ball, lights
        that no ball shows and no ``fallback``.
    """
    if balls and len(balls) != len(sources):
        raise CaptureError(f"{counted(len(balls), 'ball')} given for {counted(len(sources), 'folder')}, expected one "
                           "each or none")
    found, places, shares = [], [], []
    for i, source in enumerate(sources):
        read = _pictures_of(source, pictures, ball_picture, transfer)
        if fallback is not None and len(read.lights) != len(fallback):
            raise CaptureError(
                f"{source}: {len(read.lights)} photographs of single lights, but the rig given for unseen lights "
                f"has {len(fallback)}; give --pictures that fit one photograph per light, in the rig's order"
            )
        images = run_tasks(_read, [(picture,) for picture in read.lights], scheduler=_local(scheduler), workers=workers,
                           progress=progress)
        ball, share = (balls[i], 1.0) if balls else find_ball(read.outline() if read.outline else np.max(images, axis=0))
        camera = None if focal_px is None else Camera(focal_px, center or _middle(images[0]))
        found.append(_directions(images, ball, camera))
        places.append(ball)
        shares.append(share)
    counts = {len(directions) for directions in found}
    if len(counts) > 1:
        raise CaptureError(f"the balls show {', '.join(map(str, sorted(counts)))} lights; expected one number for all")
    directions, spread = _combined(np.array(found))
    unseen = tuple(np.flatnonzero(np.isnan(directions[:, 0])).tolist())
    directions = _filled(directions, unseen, fallback)
    return LightDirections(LightRig(name, directions), tuple(places), tuple(shares), spread, unseen)


def find_light_gains(
    take_path: Path, *, ball: Ball | None = None, flat: tuple[int, int, int, int] | None = None,
    normal: Sequence[float] = (0, 0, 1), focal_px: float | None = None, center: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> LightGains:
    """Brightness of every light from a take of a white diffuse ball or a flat white target.

    Parameters
    ----------
    take_path : Path
        Take whose first imageset shows the target; its rig says where the lights stand.
    ball : Ball, optional
        Where the ball is; found on the sum of all lights if neither this nor ``flat`` is given.
    flat : x, y, width, height, optional
        Pixels of a flat target, instead of a ball.
    normal : 3 floats
        Of the flat target.
    focal_px, center
        As for :func:`find_light_directions`.
    progress : callable (done, total), optional

    Returns
    -------
    LightGains
        Gains of mean luminance 1, times those that the take's pictures were already divided by.

    Raises
    ------
    CaptureError
        No ball, a target that no light reaches, or one whose shading is not that of a white diffuse surface.
    """
    with open_take(take_path) as take:
        if flat is not None:
            pixels, normals = _flat_target(take, flat, normal)
        else:
            if ball is None:
                ball, _ = find_ball(_whole(take, take.read_full(0)).mean(axis=2))
            camera = None if focal_px is None else Camera(focal_px, center or _middle(np.empty(take.shape)))
            pixels, normals = _ball_target(take, ball, camera)
        measured, misfit = np.full((len(take.rig), 3), np.nan), np.full(len(take.rig), np.nan)
        for light in np.flatnonzero(take.rig.enabled):
            image = _whole(take, take.read_box(0, slice(light, light + 1))[0])
            measured[light], misfit[light] = measure_gain(image[pixels], normals, take.rig.directions[light])
            if progress is not None:
                progress(int(light) + 1, len(take.rig))
        gains, known = normalise_gains(measured * take.rig.gains)
        if (usual := float(np.nanmedian(misfit))) > MISFIT:
            what = f"ball at ({ball.x:.0f}, {ball.y:.0f}) with radius {ball.radius:.0f} px" if ball else "flat target"
            raise CaptureError(
                f"{take_path}: shading of the {what} differs by {100 * usual:.0f} % from that of a white diffuse surface "
                f"(median of the lights), expected under {100 * MISFIT:.0f} %; say where "
                "the target is with --ball or --flat, or import the take with a rig that fits"
            )
        unknown = tuple(np.flatnonzero(~known & take.rig.enabled).tolist())
        return LightGains(replace(take.rig, gains=gains), unknown, ball, misfit)


@dataclass(frozen=True)
class _Pictures:
    """Functions that read the picture of each light, and the one that shows the outline."""

    lights: tuple[partial, ...]
    outline: partial | None


def _pictures_of(source: Path, pattern: str, ball_picture: str | None, transfer: str | float) -> _Pictures:
    """What to read from a folder of photographs or a take."""
    if source.is_file():
        take = open_take(source)
        lights = tuple(partial(_read_light, str(source), light) for light in range(len(take.rig)))
        return _Pictures(lights, None)
    if not source.is_dir():
        raise FormatError(f"{source}: no such file or folder, expected photographs of a mirror ball, or a take of one")
    found = [path for path, _ in match_files(source, pattern) if path.suffix.lower() in SUFFIXES]
    files = [path for path in found if path.name != ball_picture]
    if not files:
        raise CaptureError(f"{source}: no photograph fits '{pattern}', expected a mirror ball under one light each")
    if pattern == "*":
        _refuse_odd_names(source, files)
    outline = None if ball_picture is None else partial(read_grey, source / ball_picture, transfer)
    return _Pictures(tuple(partial(read_grey, path, transfer) for path in files), outline)


def _refuse_odd_names(source: Path, files: Sequence[Path]) -> None:
    """Every photograph counts as a light: one that is not numbered like the others may be none."""
    patterns = [re.sub(r"\d+", "*", path.name) for path in files]
    usual, count = Counter(patterns).most_common(1)[0]
    odd = [path.name for path, pattern in zip(files, patterns, strict=True) if pattern != usual]
    if odd and count > 2 * len(odd):
        raise CaptureError(
            f"{source}: {', '.join(odd[:3])} among {count} photographs named {usual}; is it a light? State which "
            f"photographs show one: --pictures '{usual}', or --pictures '*.*' for all"
        )


def _read(picture: partial) -> np.ndarray:
    """One picture; a function of the module, so that a scheduler can call it."""
    return picture()


def _read_light(path: str, light: int) -> np.ndarray:
    """Grey picture of one light of a take, full frame."""
    with open_take(path) as take:
        return _whole(take, take.read_box(0, slice(light, light + 1))[0]).mean(axis=2)


def _local(scheduler: str) -> str:
    """Pictures come back to this process, so other machines would only send them around."""
    return scheduler if scheduler in ("sync", "threads") else "threads"


def _directions(images: Sequence[np.ndarray], ball: Ball, camera: Camera | None) -> np.ndarray:
    """Direction (L, 3) of every light, NaN where the ball shows none."""
    rows, columns = ball.box(images[0].shape)
    cut = np.array([image[rows, columns] for image in images], np.float32)
    inner = Ball(ball.x - columns.start, ball.y - rows.start, ball.radius)
    still = np.median(cut, axis=0) if len(cut) > 2 else None
    out = np.full((len(images), 3), np.nan)
    for light, image in enumerate(cut):
        spot = find_highlight(image, inner, still=still)
        if spot is not None:
            out[light] = mirror_direction(ball, spot[0] + columns.start, spot[1] + rows.start, camera)
    out[out[:, 2] < BEHIND] = np.nan
    return out


def _combined(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean direction (L, 3) over balls (B, L, 3), and the largest angle from it (L,); NaN where no ball shows a light."""
    seen = np.isfinite(found[..., 0])
    total = np.where(seen[..., None], found, 0).sum(axis=0)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    mean = np.where(length > 0, total / np.where(length > 0, length, 1), np.nan)
    spread = np.where(seen, angles_deg(found, mean[None]), 0).max(axis=0)
    return mean, spread


def _filled(directions: np.ndarray, unseen: tuple[int, ...], fallback: LightRig | None) -> np.ndarray:
    """Directions of unseen lights from the stage's own rig."""
    if not unseen:
        return directions
    if fallback is None:
        raise CaptureError(
            f"lights {list(unseen[:8])} show no highlight on the ball, or stand behind it; give a rig "
            "that has their places with --rig"
        )
    out = directions.copy()
    out[list(unseen)] = fallback.directions[list(unseen)]
    return out


def _middle(image: np.ndarray) -> tuple[float, float]:
    return (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2


def _whole(take: Take, box_image: np.ndarray) -> np.ndarray:
    """A picture of the stored region in the full frame."""
    out = np.zeros((*take.shape, 3), np.float32)
    top, left, height, width = take.box
    out[top : top + height, left : left + width] = box_image
    return out


def _ball_target(take: Take, ball: Ball, camera: Camera | None) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Pixels well inside a ball and the normals there."""
    rows, columns = ball.box(take.shape)
    y, x = np.mgrid[rows, columns]
    inside = np.hypot(x - ball.x, y - ball.y) < 0.95 * ball.radius
    normals, _ = ball_normals(ball, x[inside], y[inside], camera)
    return (y[inside], x[inside]), normals


def _flat_target(
    take: Take, flat: tuple[int, int, int, int], normal: Sequence[float]
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Pixels of a flat target, and its one normal for all of them."""
    x, y, width, height = flat
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > take.shape[1] or y + height > take.shape[0]:
        raise CaptureError(f"flat target {list(flat)} reaches out of the picture of {take.shape[1]}x{take.shape[0]} pixels")
    length = float(np.linalg.norm(normal))
    if not length > 0:
        raise CaptureError(f"normal of the flat target is {list(normal)}, expected a direction")
    rows, columns = np.mgrid[y : y + height, x : x + width]
    normals = np.broadcast_to(np.asarray(normal, float) / length, (rows.size, 3))
    return (rows.ravel(), columns.ravel()), normals
