"""Shape and material of a subject from its OLAT images: normals, albedo, occlusion, diffuse and specular parts."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from olatkit.errors import ConfigError
from olatkit.imageset import Imageset
from olatkit.render.relight import relight
from olatkit.render.weights import cell_areas
from olatkit.rig import LightRig
from olatkit.wording import counted

# Where half of the lights are before a surface, as on a whole sphere; see default_ranks.
RANKS = (0.60, 0.90)
LOWEST_RANK = 0.15  # where all of them are
STEPS = 4
MIN_LIGHTS = 4  # that a pixel's fit needs


@dataclass(frozen=True, eq=False)
class Surface:
    """What a pixel's surface is: ``normals`` (H, W, 3) unit or zero, ``albedo`` (H, W, 3) >= 0.

    Albedo is the radiance under a light that the surface faces; times π it is the reflectance if images show radiance
    under lights of irradiance 1.
    """

    normals: np.ndarray
    albedo: np.ndarray


@dataclass(frozen=True, eq=False)
class Split:
    """A relit picture in two: ``diffuse`` + ``specular`` (H, W, 3) is the relit picture; ``occlusion`` (H, W) 0 to 1."""

    diffuse: np.ndarray
    specular: np.ndarray
    occlusion: np.ndarray


def fit_surface(
    imageset: Imageset | np.ndarray, rig: LightRig, *, mask: np.ndarray | None = None,
    ranks: tuple[float, float] | None = None, steps: int = STEPS,
) -> Surface:
    """Photometric normals and albedo of every pixel.

    Parameters
    ----------
    imageset : Imageset or ndarray, shape (L, H, W, 3)
        Linear images, gains divided out.
    rig : LightRig
        L lights; dead ones are left out.
    mask : ndarray of bool, shape (H, W), optional
        Where the subject is; elsewhere normals and albedo are zero.
    ranks : two floats, optional
        Of a pixel's values sorted by brightness, the share below which and above which lights are left out: the dark
        ones see it in shadow, the bright ones in a highlight. :func:`default_ranks` of the rig if None.
    steps : int
        Robust steps after that, in which every light counts by how well it fits; 0 for none.

    Returns
    -------
    Surface

    Raises
    ------
    ConfigError
        Ranks that leave fewer than four lights, or images and rig that disagree.

    Notes
    -----
    Least squares of O_l = x·d_l over the remaining lights on the mean of the channels; n = x/|x|, and with it the
    albedo of every channel. A robust step leaves out lights with n·d < 0.1 and weighs those whose residual r exceeds
    5 % of |x| by (0.05 |x| / r)². Lambertian model of Woodham, "Photometric method for determining surface orientation from
    multiple images", Optical Engineering 19(1), 1980, doi:10.1117/12.7972479. Lights count as distant.
    """
    from olatkit.render.photometric_kernels import fit_rows

    images, lit, directions = _inputs(imageset, rig)
    ranks = default_ranks(rig) if ranks is None else ranks
    low, high = int(ranks[0] * len(lit)), int(np.ceil(ranks[1] * len(lit)))
    if not 0 <= ranks[0] < ranks[1] <= 1 or high - low < MIN_LIGHTS:
        raise ConfigError(
            f"ranks {ranks[0]:g} to {ranks[1]:g} leave {max(high - low, 0)} of {len(lit)} lights, expected {MIN_LIGHTS} or "
            "more"
        )
    inside = np.ones(images.shape[1:3], bool) if mask is None else np.ascontiguousarray(mask, bool)
    normals, albedo = np.zeros((2, *images.shape[1:]), np.float32)
    _in_bands(
        images.shape[1],
        lambda a, b: fit_rows(images, lit, directions, inside, low, high, steps, a, b, normals, albedo),
    )
    return Surface(normals, albedo)


def default_ranks(rig: LightRig) -> tuple[float, float]:
    """Ranks for :func:`fit_surface`: 0.60 to 0.90 for lights all round, and fewer dark ones left out the more lights
    stand on one side.

    On a whole sphere half of the lights are behind a surface, so the dark 60 % hold shadows. Lights that all stand
    before the subject all reach it, and the same ranks would leave three of twelve.
    """
    directions = rig.directions[rig.enabled]
    before = float((directions @ directions.T > 0.1).mean(axis=0).max(initial=0))  # the largest share that a surface sees
    low = RANKS[0] - (before - 0.5) / 0.5 * (RANKS[0] - LOWEST_RANK)
    return min(max(low, LOWEST_RANK), RANKS[0]), RANKS[1]


def split_reflection(
    imageset: Imageset | np.ndarray, rig: LightRig, surface: Surface, weights: np.ndarray | None = None
) -> Split:
    """Separate what a diffuse surface explains from what shines, and find how much sky every pixel sees.

    Parameters
    ----------
    imageset, rig
        As for :func:`fit_surface`.
    surface : Surface
        From :func:`fit_surface`.
    weights : ndarray, shape (L, 3), optional
        Lighting of the split picture; a white sky of radiance 1 if None.

    Returns
    -------
    Split
        ``specular`` is Σ_l w_l max(0, O_l - ρ max(0, n·d_l)), and ``diffuse`` the rest of the relit picture: what lies
        in shadow is darker there. ``occlusion`` is Σ A_l V_l n·d_l / Σ A_l n·d_l over lights with n·d_l > 0.1, where
        V_l says that the pixel has more than 0.15 of what the diffuse surface would show, and A_l is the light's cell.

    Notes
    -----
    Noise above the fit counts as specular; over L lights of noise σ it adds 0.4 σ Σ w.
    """
    from olatkit.render.photometric_kernels import split_rows

    images, lit, directions = _inputs(imageset, rig)
    areas = cell_areas(rig)
    chosen = np.repeat(areas[:, None], 3, axis=1) if weights is None else np.asarray(weights, float)
    specular, occlusion = np.zeros(images.shape[1:], np.float32), np.zeros(images.shape[1:3], np.float32)
    _in_bands(
        images.shape[1],
        lambda a, b: split_rows(
            images, lit, directions, chosen[lit], areas[lit], surface.normals, surface.albedo, a, b, specular, occlusion
        ),
    )
    specular *= (surface.normals != 0).any(axis=2)[..., None]
    return Split(relight(images, chosen) - specular, specular, occlusion)


def gradient_weights(rig: LightRig) -> np.ndarray:
    """Weights (4, L, 3) of spherical gradients: (1 + x)/2, (1 + y)/2, (1 + z)/2 of a light's direction, and even light.

    As in Ma et al., "Rapid acquisition of specular and diffuse normal maps from polarized spherical gradient
    illumination", EGSR 2007, doi:10.2312/EGWR/EGSR07/183-194.
    """
    ramps = np.concatenate([(1 + rig.directions.T) / 2, np.ones((1, len(rig)))])
    return np.repeat((ramps * cell_areas(rig))[..., None], 3, axis=2)


def _inputs(imageset: Imageset | np.ndarray, rig: LightRig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images float32 C-contiguous, lights in use and their directions."""
    images = imageset.radiance if isinstance(imageset, Imageset) else np.ascontiguousarray(imageset, np.float32)
    if images.ndim != 4 or images.shape[3] != 3 or len(images) != len(rig):
        raise ConfigError(f"images have shape {images.shape}, the rig '{rig.name}' has {counted(len(rig), 'light')}")
    lit = np.flatnonzero(rig.enabled)
    return images, lit, np.ascontiguousarray(rig.directions[lit])


def _in_bands(height: int, work: Callable[[int, int], None], rows: int = 16) -> None:
    """Call ``work(start, stop)`` on bands of rows in threads; the compiled loops release the lock."""
    starts = range(0, height, rows)
    work(0, 0)  # compiles once, before the threads
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda a: work(a, min(a + rows, height)), starts))
