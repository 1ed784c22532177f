"""The fully lit picture of an imageset, on which parsing and flow run, and the one brightness factor of a take."""

from collections.abc import Iterable

import numpy as np

from olatkit.errors import CaptureError
from olatkit.imageset import Imageset
from olatkit.render.relight import relight
from olatkit.render.weights import cell_areas
from olatkit.rig import LightRig

# Linear luminance that the median of the subject gets: 0.54 in sRGB, the middle of an 8-bit picture.
MEDIAN_LUMINANCE = 0.25


def fully_lit(imageset: Imageset | np.ndarray, rig: LightRig) -> np.ndarray:
    """Relight under uniform white radiance 1: every light weighs the solid angle of its cell.

    Parameters
    ----------
    imageset : Imageset or ndarray, shape (L, H, W, 3)
        Linear images, one per light.
    rig : LightRig
        L lights; dead ones weigh nothing and their cells go to neighbours.

    Returns
    -------
    ndarray, shape (H, W, 3), float32
        Linear, neither scaled nor clipped; :func:`find_kappa` gives the factor for display.

    Raises
    ------
    ValueError
        Imageset and rig disagree in the number of lights.
    """
    return relight(imageset, np.repeat(cell_areas(rig)[:, None], 3, axis=1))


def find_kappa(luminances: Iterable[np.ndarray]) -> float:
    """The factor κ of a take that brings the median luminance of the subject, fully lit, to 0.25.

    Parameters
    ----------
    luminances : iterable of ndarray
        Linear luminance of the foreground pixels of some fully lit pictures, any shapes; every tenth imageset of a
        take is enough.

    Returns
    -------
    float
        One number for the whole take: a factor per picture would break the tie between light and picture.

    Raises
    ------
    CaptureError
        There is no foreground pixel, or their median is not positive.
    """
    values = [np.asarray(part, np.float32).ravel() for part in luminances]
    pixels = np.concatenate(values) if values else np.zeros(0, np.float32)
    if not pixels.size:
        raise CaptureError("no foreground pixel in the fully lit pictures: no brightness factor can be found; "
                           "check that the take shows its subject (olatkit render)")
    median = float(np.median(pixels))
    if not np.isfinite(median) or median <= 0:
        raise CaptureError(f"the median luminance of the fully lit foreground is {median:.3g}, expected a positive "
                           "number; check exposure and black level of the take (olatkit report)")
    return MEDIAN_LUMINANCE / median
