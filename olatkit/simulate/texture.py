"""Textures of the parts: reflectance, gloss, bumps, class labels and cut-outs, as functions of rest position."""

from dataclasses import dataclass

import cv2
import numpy as np

from olatkit.simulate.hair import hair_cut, hair_edge
from olatkit.simulate.identity import Identity
from olatkit.simulate.raster import ALBEDO, BUMP, CHANNELS, ROUGHNESS, SPECULAR
from olatkit.simulate.shape import BROW_Y, EYE_Y, EYE_Z, Features, head_features

# The 19 classes of CelebAMask-HQ; left and right are the picture's.
LABELS = (
    "background", "skin", "brow_left", "brow_right", "eye_left", "eye_right", "glasses", "ear_left", "ear_right",
    "earring", "nose", "mouth", "lip_upper", "lip_lower", "neck", "necklace", "cloth", "hair", "hat",
)


@dataclass(frozen=True)
class PartTexture:
    """Texels of one part.

    ``surface`` (Ht, Wt, CHANNELS) float32, ``label`` (Ht, Wt) uint8, ``cut`` (Ht, Wt) float32: above 0.5 is nothing.
    """

    surface: np.ndarray
    label: np.ndarray
    cut: np.ndarray


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def make_noise(shape: tuple[int, int], scale: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of unit deviation; ``scale`` is its grain down and across in texels."""
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), sigmaX=max(scale[1], 0.3), sigmaY=max(scale[0], 0.3))
    return smooth / smooth.std()


def _mix(
    surface: np.ndarray, amount: np.ndarray, colour: tuple[float, ...] | np.ndarray,
    gloss: tuple[float, float] | None = None,
) -> None:
    """Blend a colour, and optionally (specular, roughness), into a surface in place."""
    a = np.clip(amount, 0, 1)
    planes = [*zip(range(3), np.moveaxis(np.asarray(colour, np.float32), -1, 0), strict=True)]
    if gloss is not None:
        planes += zip((3, 4), np.asarray(gloss, np.float32), strict=True)
    for channel, value in planes:  # one at a time: several times faster than all in one broadcast
        surface[..., channel] += a * (value - surface[..., channel])


def _plain(shape: tuple[int, int], colour: tuple[float, ...], specular: float, roughness: float) -> np.ndarray:
    """A surface of one colour and gloss."""
    surface = np.zeros((*shape, CHANNELS), np.float32)
    surface[..., ALBEDO] = colour
    surface[..., SPECULAR] = specular
    surface[..., ROUGHNESS] = roughness
    return surface


def _skin(identity: Identity, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Skin with mottling, pores and bumps."""
    surface = _plain(shape, identity.skin, 0.8, identity.roughness)
    blotch = 0.045 * make_noise(shape, (40, 40), rng) + 0.03 * make_noise(shape, (9, 9), rng)
    pores = make_noise(shape, (1.2, 1.2), rng)
    surface[..., ALBEDO] *= (1 + blotch + 0.035 * pores)[..., None]
    surface[..., 1:3] *= (1 - 0.5 * blotch)[..., None]
    for k in range(3):
        surface[..., 5 + k] = 0.022 * make_noise(shape, (1.5, 1.5), rng)
    return surface


def head_texture(identity: Identity, points: np.ndarray) -> PartTexture:
    """Texture of the bald head at its texels' rest positions (Ht, Wt, 3)."""
    rng = np.random.default_rng([identity.texture_seed, 1])
    shape = points.shape[:2]
    f = head_features(identity)
    x, y, z = np.moveaxis(points, -1, 0)
    side, front = np.abs(x), z > 0.03
    surface = _skin(identity, shape, rng)
    skin = np.array(identity.skin)
    flush = skin * np.array([1.06, 0.76, 0.74])
    _mix(surface, 0.55 * np.exp(-(((side - 0.042) / 0.020) ** 2) - ((y + 0.022) / 0.018) ** 2) * front, flush)
    _mix(surface, 0.60 * np.exp(-((x / 0.014) ** 2) - ((y + 0.028) / 0.013) ** 2) * front, flush)
    _mix(surface, 0.30 * np.exp(-((x / 0.020) ** 2) - ((y + 0.098) / 0.014) ** 2) * front, flush)
    shadow = skin * np.array([0.72, 0.62, 0.62])
    under_eye = np.exp(-(((side - f.eye_x) / 0.016) ** 2) - ((y - EYE_Y + 0.010) / 0.007) ** 2)
    _mix(surface, 0.45 * under_eye * front, shadow)
    # Oily forehead and nose: smoother than cheeks.
    oily = np.exp(-((x / 0.030) ** 2) - ((y - 0.055) / 0.022) ** 2)
    oily = oily + np.exp(-((x / 0.012) ** 2) - ((y + 0.008) / 0.026) ** 2)
    surface[..., ROUGHNESS] -= 0.07 * np.clip(oily, 0, 1) * front
    _paint_freckles(surface, identity, points, rng)
    _paint_stubble(surface, identity, points, rng)
    scalp = smoothstep(-0.004, 0.006, hair_edge(identity, points) + 0.003 * make_noise(shape, (6, 1.2), rng))
    scalp = scalp * (1.0 if identity.hair_style != "buzz" else 0.8)
    _mix(surface, scalp, np.array(identity.hair), (0.6, 0.55))
    label = np.ones(shape, np.uint8)
    label[scalp > 0.5] = 17
    beside = np.abs(x) < 0.0085 + 0.0115 * smoothstep(0.004, -0.030, y)
    label[beside & (y < 0.012) & (y > -0.0415) & (z > 0.0800)] = 10
    label[(y < -0.085) & (z < 0.035)] = 14
    _paint_lips(surface, label, identity, points, f)
    _paint_brows(surface, label, identity, points, rng)
    cut = np.maximum(_eye_cut(points, f), _mouth_cut(points, f))
    # Lash line: dark rim around the eye opening.
    low, high = f.lid_heights(x)
    rim = np.minimum(np.abs(y - EYE_Y - high) / 0.0014, np.abs(y - EYE_Y - low) / 0.0006)
    near = (np.abs(side - f.eye_x) < f.eye_half_width * 1.02) & front
    _mix(surface, 0.85 * np.exp(-(rim**2)) * near, (0.012, 0.009, 0.008))
    return PartTexture(surface, label, cut.astype(np.float32))


def _eye_cut(points: np.ndarray, f: Features) -> np.ndarray:
    """Opening between the lids."""
    x, y, z = np.moveaxis(points, -1, 0)
    low, high = f.lid_heights(x)
    inside = np.minimum(high - (y - EYE_Y), (y - EYE_Y) - low)
    return np.where(z > 0.03, np.clip(0.5 + inside / 0.001, 0, 1), 0.0)


def _mouth_cut(points: np.ndarray, f: Features) -> np.ndarray:
    """Slit between the lips; closed lips touch, see :mod:`olatkit.simulate.pose`."""
    x, y, z = np.moveaxis(points, -1, 0)
    half = mouth_gap(x, f)
    return np.where(z > 0.03, np.clip(0.5 + (half - np.abs(y - f.mouth_line(x))) / 0.001, 0, 1), 0.0)


def mouth_gap(x: np.ndarray, f: Features) -> np.ndarray:
    """Half height [m] of the slit between the lips in the rest shape."""
    return 0.0013 * np.clip(1 - (x / (0.9 * f.mouth_half_width)) ** 2, 0, None) ** 0.4 - 0.0004


def _paint_lips(surface: np.ndarray, label: np.ndarray, identity: Identity, points: np.ndarray, f: Features) -> None:
    """Vermilion of both lips, with a cupid's bow."""
    x, y, z = np.moveaxis(points, -1, 0)
    across = np.clip(np.abs(x) / f.mouth_half_width, 0, 1.2)
    taper = np.clip(1 - across**2, 0, None)
    bow = 0.0014 * np.exp(-(((np.abs(x) - 0.0065) / 0.0042) ** 2)) - 0.0006 * np.exp(-((x / 0.003) ** 2))
    line = f.mouth_line(x)
    upper = line + (0.0072 * taper**0.75 + bow) * f.lip
    lower = line - 0.0098 * taper**0.55 * f.lip
    front = z > 0.055
    inside = smoothstep(-0.0007, 0.0007, np.minimum(upper - y, y - lower)) * front * (across < 1.0)
    _mix(surface, inside, identity.lips, (1.0, 0.36))
    _mix(surface, 0.5 * np.exp(-(((y - line) / 0.0012) ** 2)) * front * (across < 1.03), np.array(identity.lips) * 0.35)
    label[(inside > 0.5) & (y > line)] = 12
    label[(inside > 0.5) & (y <= line)] = 13


def _paint_brows(
    surface: np.ndarray, label: np.ndarray, identity: Identity, points: np.ndarray, rng: np.random.Generator
) -> None:
    """Hairy arcs over the eyes."""
    x, y, z = np.moveaxis(points, -1, 0)
    along = (np.abs(x) - 0.0125) / 0.0345
    middle = BROW_Y + 0.0058 * np.sin(np.clip(along, 0, 1) * 2.3) - 0.0030 * np.clip(along, 0, 1) ** 2
    half = 0.0050 * identity.brow_weight * np.clip(1.05 - 0.75 * along, 0.2, 1)
    inside = smoothstep(1.25, 0.45, np.abs(y - middle) / half) * (z > 0.02)
    inside = inside * smoothstep(-0.08, 0.12, along) * smoothstep(1.05, 0.8, along)
    hairs = np.clip(0.78 + 0.22 * make_noise(y.shape, (2.2, 0.8), rng), 0.2, 1)
    colour = np.minimum(np.array(identity.hair) * 0.8, 0.12)
    _mix(surface, inside * hairs * np.clip(identity.brow_weight, 0.6, 1), colour, (0.5, 0.6))
    label[(inside > 0.5) & (x < 0)] = 2
    label[(inside > 0.5) & (x >= 0)] = 3


def _paint_freckles(surface: np.ndarray, identity: Identity, points: np.ndarray, rng: np.random.Generator) -> None:
    """Freckles over nose and cheeks, and a few moles anywhere."""
    x, y, z = np.moveaxis(points, -1, 0)
    zone = np.exp(-((x / 0.050) ** 2) - ((y + 0.008) / 0.022) ** 2) * (z > 0.03)
    spots = smoothstep(1.1, 2.0, make_noise(y.shape, (2.2, 2.2), rng))
    brown = np.array(identity.skin) * np.array([0.62, 0.48, 0.42])
    _mix(surface, 0.75 * identity.freckles * zone * spots, brown)
    for _ in range(int(rng.integers(1, 6))):
        mx, my, r = rng.uniform(-0.06, 0.06), rng.uniform(-0.09, 0.06), rng.uniform(0.0007, 0.0016)
        _mix(surface, 0.8 * smoothstep(1.5, 0.7, np.hypot(x - mx, y - my) / r) * (z > 0.03), brown * 0.5)


def _paint_stubble(surface: np.ndarray, identity: Identity, points: np.ndarray, rng: np.random.Generator) -> None:
    """Beard shadow on jaw, chin and upper lip."""
    x, y, z = np.moveaxis(points, -1, 0)
    edge = -0.036 - 0.010 * np.exp(-(((np.abs(x) - 0.030) / 0.016) ** 2)) + 0.03 * smoothstep(0.045, 0.065, np.abs(x))
    zone = smoothstep(0.006, -0.010, y - edge) * smoothstep(-0.125, -0.100, y) * smoothstep(-0.012, 0.010, z)
    grain = np.clip(0.7 + 0.4 * make_noise(y.shape, (0.9, 0.9), rng), 0, 1.2)
    colour = 0.5 * np.array(identity.hair) + 0.25 * np.array(identity.skin) * np.array([0.8, 0.9, 1.0])
    _mix(surface, 0.55 * identity.stubble * zone * grain, np.minimum(colour, np.array(identity.skin)), (0.7, 0.5))


def eye_texture(identity: Identity, points: np.ndarray, side: int) -> PartTexture:
    """Sclera, iris and pupil; glossy like the tear film."""
    rng = np.random.default_rng([identity.texture_seed, 5 + side])
    shape = points.shape[:2]
    f = head_features(identity)
    local = points - np.array([side * f.eye_x, EYE_Y, EYE_Z])
    angle = np.arccos(np.clip(local[..., 2] / np.linalg.norm(local, axis=-1), -1, 1))
    surface = _plain(shape, (0.72, 0.68, 0.64), 1.0, 0.24)
    _mix(surface, 0.5 * smoothstep(0.6, 1.1, angle), (0.55, 0.32, 0.28))
    iris = 0.44
    fibres = np.clip(1 + 0.30 * make_noise(shape, (6, 0.8), rng), 0.4, 1.8)[..., None] * np.array(identity.iris)
    _mix(surface, smoothstep(iris + 0.02, iris - 0.02, angle), fibres)
    _mix(surface, 0.8 * np.exp(-(((angle - iris) / 0.045) ** 2)), np.array(identity.iris) * 0.15)
    _mix(surface, smoothstep(0.20, 0.175, angle), (0.004, 0.004, 0.004))
    label = np.full(shape, 4 if side < 0 else 5, np.uint8)
    return PartTexture(surface, label, np.zeros(shape, np.float32))


def ear_texture(identity: Identity, points: np.ndarray, side: int) -> PartTexture:
    """Skin, redder towards the rim."""
    rng = np.random.default_rng([identity.texture_seed, 9 + side])
    shape = points.shape[:2]
    surface = _skin(identity, shape, rng)
    _mix(surface, np.full(shape, 0.45), np.array(identity.skin) * np.array([1.03, 0.76, 0.72]))
    label = np.full(shape, 7 if side < 0 else 8, np.uint8)
    return PartTexture(surface, label, np.zeros(shape, np.float32))


def trunk_texture(identity: Identity, points: np.ndarray) -> PartTexture:
    """Neck, and a knitted garment below the neckline."""
    rng = np.random.default_rng([identity.texture_seed, 12])
    shape = points.shape[:2]
    x, y, z = np.moveaxis(points, -1, 0)
    surface = _skin(identity, shape, rng)
    neckline = -0.136 - 0.030 * np.exp(-((x / 0.055) ** 2)) * (z > -0.03)
    cloth = smoothstep(0.0008, -0.0008, y - neckline)
    weave = 1 + 0.10 * make_noise(shape, (1.5, 0.8), rng) + 0.025 * make_noise(shape, (25, 12), rng)
    _mix(surface, cloth, np.clip(weave, 0.4, 1.6)[..., None] * np.array(identity.cloth), (0.35, 0.75))
    seam = np.exp(-(((y - neckline + 0.006) / 0.0012) ** 2)) * cloth
    _mix(surface, 0.5 * seam, np.array(identity.cloth) * 0.4)
    for k in range(3):
        surface[..., 5 + k] += 0.05 * cloth * make_noise(shape, (1.5, 1.0), rng)
    label = np.where(cloth > 0.5, 16, 14).astype(np.uint8)
    return PartTexture(surface, label, np.zeros(shape, np.float32))


def mouth_texture(identity: Identity, points: np.ndarray) -> PartTexture:
    """Teeth over a dark cavity."""
    shape = points.shape[:2]
    x = points[..., 0]
    surface = _plain(shape, (0.10, 0.022, 0.020), 1.0, 0.35)
    v = np.linspace(0, 1, shape[0])[:, None] * np.ones(shape)
    gaps = 1 - 0.45 * np.exp(-(((np.mod(x / 0.0075 + 0.5, 1.0) - 0.5) / 0.06) ** 2))
    teeth = smoothstep(0.43, 0.40, v) * smoothstep(0.016, 0.013, np.abs(x) * 0.85)
    _mix(surface, teeth, gaps[..., None] * np.array([0.60, 0.54, 0.45]), (1.0, 0.25))
    _mix(surface, smoothstep(0.70, 0.80, v), (0.30, 0.09, 0.085))
    return PartTexture(surface, np.full(shape, 11, np.uint8), np.zeros(shape, np.float32))


def hair_texture(identity: Identity, points: np.ndarray) -> PartTexture:
    """Strands that run down the columns, frayed at the edge."""
    rng = np.random.default_rng([identity.texture_seed, 14])
    shape = points.shape[:2]
    coarse, fine = make_noise(shape, (70, 3.0), rng), make_noise(shape, (45, 0.9), rng)
    if identity.hair_style == "buzz":
        coarse, fine = make_noise(shape, (3, 3), rng), make_noise(shape, (1.0, 1.0), rng)
    surface = _plain(shape, identity.hair, 1.3, 0.42)
    surface[..., ALBEDO] *= np.clip(1 + 0.22 * coarse + 0.22 * fine, 0.35, 2)[..., None]
    # Strands tilt the normal sideways, across the direction in which they run.
    across = np.gradient(points, axis=1)
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    surface[..., BUMP] = (0.20 * fine + 0.10 * coarse)[..., None] * across
    cut = hair_cut(identity, points, 0.7 * coarse + 0.5 * fine)
    return PartTexture(surface, np.full(shape, 17, np.uint8), cut.astype(np.float32))
