"""Who stands in the simulated stage: proportions, colours and style, all drawn from one seed."""

from dataclasses import dataclass

import numpy as np

HAIR_STYLES = ("buzz", "short", "swept", "bob", "long")

_SKIN_LIGHT = np.array([0.60, 0.37, 0.27])
_SKIN_MIDDLE = np.array([0.38, 0.205, 0.130])
_SKIN_DARK = np.array([0.095, 0.048, 0.032])
_HAIR = np.array([
    [0.010, 0.008, 0.007], [0.030, 0.018, 0.012], [0.070, 0.038, 0.020],
    [0.120, 0.045, 0.018], [0.300, 0.190, 0.085], [0.260, 0.250, 0.240],
])
_IRIS = np.array([
    [0.060, 0.028, 0.012], [0.10, 0.055, 0.02], [0.055, 0.085, 0.04], [0.05, 0.11, 0.19], [0.10, 0.12, 0.13],
])


@dataclass(frozen=True)
class Identity:
    """Proportions as factors around 1, colours as linear Rec.709 reflectance.

    Attributes
    ----------
    width, jaw, chin, cheek, brow_ridge, nose_length, nose_width, nose_bridge : float
        Factors on the corresponding lengths of the average head.
    eye_spacing, eye_size, mouth_width, lip : float
        Likewise; ``lip`` is the fullness of the lips.
    skin, lips, hair, iris, cloth : tuple of 3 floats
        Reflectance.
    hair_style : str
        One of :data:`HAIR_STYLES`.
    brow_weight, freckles, stubble : float
        Density of brows (around 1), freckles and beard shadow (0 to 1).
    roughness : float
        Microfacet roughness of the skin.
    texture_seed : int
        Seed of the noise in skin, hair and cloth.
    """

    width: float
    jaw: float
    chin: float
    cheek: float
    brow_ridge: float
    nose_length: float
    nose_width: float
    nose_bridge: float
    eye_spacing: float
    eye_size: float
    mouth_width: float
    lip: float
    skin: tuple[float, float, float]
    lips: tuple[float, float, float]
    hair: tuple[float, float, float]
    iris: tuple[float, float, float]
    cloth: tuple[float, float, float]
    hair_style: str
    brow_weight: float
    freckles: float
    stubble: float
    roughness: float
    texture_seed: int


def make_identity(seed: int) -> Identity:
    """Draw a person; the same seed gives the same person at every picture size."""
    rng = np.random.default_rng([seed, 1])

    def factor(spread: float) -> float:
        return float(1 + spread * np.clip(rng.standard_normal(), -2, 2))

    tone = rng.uniform() ** 1.2
    light, dark = (_SKIN_LIGHT, _SKIN_MIDDLE) if tone < 0.6 else (_SKIN_MIDDLE, _SKIN_DARK)
    part = tone / 0.6 if tone < 0.6 else (tone - 0.6) / 0.4
    skin = np.exp((1 - part) * np.log(light) + part * np.log(dark)) * (1 + 0.05 * rng.standard_normal(3))
    # Fair hair and light eyes go with fair skin.
    choices = len(_HAIR) if tone < 0.5 else 2
    hair = _HAIR[rng.integers(choices)] * rng.uniform(0.8, 1.25)
    iris = _IRIS[rng.integers(len(_IRIS) if tone < 0.5 else 2)]
    style = HAIR_STYLES[rng.integers(len(HAIR_STYLES))]
    bearded = style in ("buzz", "short", "swept") and rng.uniform() < 0.6
    lips = skin * np.array([0.86, 0.52, 0.55]) + np.array([0.035, 0.004, 0.008])
    cloth = np.clip(rng.uniform(0.03, 0.5) * np.exp(0.6 * rng.standard_normal(3)), 0.015, 0.7)
    return Identity(
        width=factor(0.035), jaw=factor(0.06) * (1.04 if bearded else 0.96), chin=factor(0.10), cheek=factor(0.12),
        brow_ridge=factor(0.12) * (1.08 if bearded else 0.92), nose_length=factor(0.08), nose_width=factor(0.12),
        nose_bridge=factor(0.10), eye_spacing=factor(0.03), eye_size=factor(0.05), mouth_width=factor(0.07),
        lip=factor(0.15), skin=_triple(skin), lips=_triple(lips), hair=_triple(hair), iris=_triple(iris),
        cloth=_triple(cloth), hair_style=style, brow_weight=factor(0.18) * (1.1 if bearded else 0.9),
        freckles=float(max(0.0, rng.uniform(-0.6, 1.0)) if tone < 0.4 else 0.0),
        stubble=float(rng.uniform(0.3, 1.0)) if bearded else 0.0, roughness=float(rng.uniform(0.42, 0.56)),
        texture_seed=int(rng.integers(2**31)),
    )


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    """Three plain floats inside the range of real reflectances."""
    r, g, b = np.clip(values, 0.004, 0.85)
    return float(r), float(g), float(b)
