"""Relighting through spherical harmonics: a few pictures per subject instead of one per light; a preview."""

import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.imageset import Imageset
from olatkit.render.relight import relight
from olatkit.render.sh import project_sh, sh_basis
from olatkit.render.weights import cell_areas
from olatkit.rig import LightRig


def sh_images(imageset: Imageset | np.ndarray, rig: LightRig, order: int = 2) -> np.ndarray:
    """The subject under each spherical harmonic.

    Parameters
    ----------
    imageset : Imageset or ndarray, shape (L, H, W, 3)
    rig : LightRig
        L lights.
    order : int
        Largest degree: 2 gives 9 pictures, 4 gives 25.

    Returns
    -------
    ndarray, shape ((order + 1)², H, W, 3), float32
        Σ_l A_l Y_k(d_l) O_l with A_l the light's cell; order of the coefficients as in :mod:`olatkit.render.sh`. Values
        may be negative.
    """
    basis = sh_basis(rig.directions, order) * cell_areas(rig)[:, None]
    return relight(imageset, np.repeat(basis.T[..., None], 3, axis=2))


def sh_relight(images: np.ndarray, environment: EnvironmentMap) -> np.ndarray:
    """Picture (H, W, 3) under a map from the pictures of :func:`sh_images`: Σ_k c_k I_k with the map's coefficients.

    Light finer than the order can follow is spread over the sphere: fine for diffuse surfaces, no hard shadows and
    highlights.
    """
    order = round(len(images) ** 0.5) - 1
    return relight(images, project_sh(environment, order))
