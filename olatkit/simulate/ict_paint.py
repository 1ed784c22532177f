"""Colours of the ICT face model, which has none: skin, lips, brows and cropped hair in an atlas, the rest in plain paints.

The vertices of a part follow each other; the ranges are those that the model's authors publish with it.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import griddata

from olatkit.io.ict_face import IctFace
from olatkit.simulate.hair import hair_edge
from olatkit.simulate.identity import Identity
from olatkit.simulate.raster import ALBEDO, BUMP, CHANNELS, ROUGHNESS, SPECULAR
from olatkit.simulate.texture import LABELS, make_noise, smoothstep

# Last vertex of each part, one beyond; parts that are clear films over the eye are left out.
_ENDS = (9409, 11248, 13294, 14062, 17039, 21451, 23021, 24591, 25351, 26719)
FACE, NECK, MOUTH, SOCKET, GUMS, TEETH, EYE_RIGHT, EYE_LEFT, FILM, LASHES = range(10)  # right and left of the picture
IRIS, PUPIL = (10, 11), (12, 13)  # right, left
# Texels of a tile of skin, and of a plain paint, which is a column of its own.
_TILE, _PAINT = 320, 4
_PLAIN = (MOUTH, SOCKET, GUMS, TEETH, EYE_RIGHT, EYE_LEFT, LASHES, *IRIS, *PUPIL)
_IRIS_DEGREES, _PUPIL_DEGREES = 27.0, 11.0


@dataclass(frozen=True, eq=False)
class Painted:
    """What is drawn of the model, and its colours.

    ``used`` (T,) bool, triangles that are drawn; ``part`` (D,) of those; ``texel`` (D, 3, 2) atlas coordinates of their
    corners; ``surface`` (Ht, Wt, CHANNELS) float32 and ``label`` (Ht, Wt) uint8, the atlas.
    """

    used: np.ndarray
    part: np.ndarray
    texel: np.ndarray
    surface: np.ndarray
    label: np.ndarray


def paint(face: IctFace, points: np.ndarray, identity: Identity) -> Painted:
    """Paint the face whose vertices lie at ``points`` (V, 3) [m] for a person."""
    part = np.searchsorted(_ENDS, face.corners[:, 0, 0], side="right")
    used = part != FILM
    corners, part = face.corners[used], part[used]
    part = _find_irises(points, corners, part)
    surface, label = _plain_paints(identity)
    texel = np.empty((len(part), 3, 2))
    for tile in (FACE, NECK):
        some = part == tile
        texel[some] = _skin_texels(face.uv[corners[some][..., 1]], tile)
        _paint_skin(surface, label, tile, texel[some], corners[some][..., 0], points, face, identity)
    for number, paint_of in enumerate(_PLAIN):
        texel[part == paint_of] = [2 * _TILE + _PAINT * number + _PAINT / 2 - 0.5, _PAINT]
    return Painted(used, part, texel, surface, label)


def _find_irises(points: np.ndarray, corners: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Iris and pupil: triangles of an eyeball around the direction in which it looks."""
    out = part.copy()
    for eye, iris, pupil in zip((EYE_RIGHT, EYE_LEFT), IRIS, PUPIL, strict=True):
        ball = points[_ENDS[eye - 1] : _ENDS[eye]]
        middle = (ball.min(0) + ball.max(0)) / 2
        some = np.flatnonzero(part == eye)
        away = points[corners[some][..., 0]].mean(1) - middle
        angle = np.degrees(np.arccos(away[:, 2] / np.linalg.norm(away, axis=1)))
        out[some[angle < _IRIS_DEGREES]] = iris
        out[some[angle < _PUPIL_DEGREES]] = pupil
    return out


def _plain_paints(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """An atlas with two empty tiles of skin and a column per plain paint."""
    width = 2 * _TILE + _PAINT * len(_PLAIN)
    surface, label = np.zeros((_TILE, width, CHANNELS), np.float32), np.zeros((_TILE, width), np.uint8)
    mouth, white = (0.16, 0.035, 0.035), (0.62, 0.58, 0.55)
    paints = {
        MOUTH: (mouth, 0.6, 0.5, "mouth"), SOCKET: (identity.lips, 0.5, 0.5, "skin"), GUMS: (mouth, 1.0, 0.4, "mouth"),
        TEETH: ((0.6, 0.56, 0.48), 1.0, 0.3, "mouth"), LASHES: ((0.02, 0.015, 0.012), 0.3, 0.6, "skin"),
    }
    for eye, iris, pupil, kind in zip((EYE_RIGHT, EYE_LEFT), IRIS, PUPIL, ("eye_right", "eye_left"), strict=True):
        paints[eye] = (white, 1.0, 0.25, kind)
        paints[iris], paints[pupil] = (identity.iris, 1.5, 0.2, kind), ((0.004, 0.004, 0.004), 1.5, 0.2, kind)
    for number, name in enumerate(_PLAIN):
        colour, gloss, roughness, kind = paints[name]
        columns = slice(2 * _TILE + _PAINT * number, 2 * _TILE + _PAINT * (number + 1))
        surface[:, columns, ALBEDO], surface[:, columns, SPECULAR] = colour, gloss
        surface[:, columns, ROUGHNESS], label[:, columns] = roughness, LABELS.index(kind)
    return surface, label


def _skin_texels(uv: np.ndarray, tile: int) -> np.ndarray:
    """Coordinates (..., 2) in the atlas of texture coordinates whose whole part is a tile of their own."""
    inside = uv - [tile, 0]
    return np.stack([tile * _TILE + inside[..., 0] * (_TILE - 1), (1 - inside[..., 1]) * (_TILE - 1)], axis=-1)


def _paint_skin(
    surface: np.ndarray, label: np.ndarray, tile: int, texel: np.ndarray, vertex: np.ndarray, points: np.ndarray,
    face: IctFace, identity: Identity,
) -> None:
    """Fill a tile: skin with mottling, then lips and brows where the face has them, then hair and neck."""
    columns = slice(tile * _TILE, (tile + 1) * _TILE)
    rng = np.random.default_rng([identity.texture_seed, 20 + tile])
    shape = (_TILE, _TILE)
    blotch, pores = make_noise(shape, (12, 12), rng), make_noise(shape, (1.2, 1.2), rng)
    skin = np.array(identity.skin) * (1 + 0.04 * blotch + 0.04 * pores)[..., None]
    place, model_cm, upper, lower, brows = _in_tile(texel - [tile * _TILE, 0], vertex, points, face)
    colour, kinds = skin, np.full(shape, LABELS.index("skin"), np.uint8)
    if tile == FACE:
        lips = np.maximum(upper, lower)
        colour += lips[..., None] * (np.array(identity.lips) - colour)
        colour += np.clip(0.85 * identity.brow_weight * brows, 0, 1)[..., None] * (np.array(identity.hair) - colour)
        kinds[lips > 0.5] = np.where(upper > lower, LABELS.index("lip_upper"), LABELS.index("lip_lower"))[lips > 0.5]
        kinds[brows > 0.5] = np.where(place[brows > 0.5][:, 0] < 0, LABELS.index("brow_left"), LABELS.index("brow_right"))
    kinds[_is_neck(model_cm)] = LABELS.index("neck")
    ears = _is_ear(model_cm)
    kinds[ears] = np.where(place[ears][:, 0] < 0, LABELS.index("ear_left"), LABELS.index("ear_right"))
    # Paint is no shell: falling hair would lie on the shoulders.
    edge = hair_edge(replace(identity, hair_style="buzz"), place)
    grown = smoothstep(-0.004, 0.004, edge + 0.003 * make_noise(shape, (2, 2), rng)) * ~ears
    colour += grown[..., None] * (np.array(identity.hair) * (1 + 0.15 * pores)[..., None] - colour)
    kinds[grown > 0.5] = LABELS.index("hair")
    surface[:, columns, ALBEDO], label[:, columns] = np.clip(colour, 0.003, 0.9), kinds
    surface[:, columns, SPECULAR], surface[:, columns, ROUGHNESS] = 0.8, identity.roughness
    surface[:, columns, BUMP] = 0.03 * rng.standard_normal((*shape, 3))


def _is_neck(model_cm: np.ndarray) -> np.ndarray:
    """Below the line from chin to jaw, for places (..., 3) on the model's mean face [cm]."""
    return model_cm[..., 1] < -3.0 - 0.6 * model_cm[..., 2]


def _is_ear(model_cm: np.ndarray) -> np.ndarray:
    """What stands out at the sides, for places (..., 3) on the model's mean face [cm]."""
    x, y, z = np.moveaxis(model_cm, -1, 0)
    return (np.abs(x) > 7.35 + 0.25 * (z < 0.5)) & (y > -2.6) & (y < 3.8) & (z > -4.0) & (z < 2.2)


def _in_tile(
    texel: np.ndarray, vertex: np.ndarray, points: np.ndarray, face: IctFace
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Under every texel of a tile: rest position (., ., 3) [m], the same place on the model's mean face [cm], and how
    much it is upper lip, lower lip and brow (., .)."""
    kept, first = np.unique(vertex.ravel(), return_index=True)
    at = texel.reshape(-1, 2)[first]
    lips = [smoothstep(0.60, 0.80, _moved(face, (f"mouthRoll{which}",), kept)) for which in ("Upper", "Lower")]
    brows = _moved(face, ("browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R"), kept)
    values = np.column_stack([points[kept], face.neutral[kept], *lips, smoothstep(0.78, 0.92, brows)])
    grid = np.stack(np.meshgrid(np.arange(_TILE), np.arange(_TILE)), axis=-1).reshape(-1, 2)
    inside = griddata(at, values, grid, method="linear")
    outside = np.isnan(inside[:, 0])
    inside[outside] = griddata(at, values, grid[outside], method="nearest")
    inside = inside.reshape(_TILE, _TILE, -1)
    return inside[..., :3], inside[..., 3:6], inside[..., 6], inside[..., 7], inside[..., 8]


def _moved(face: IctFace, names: tuple[str, ...], vertices: np.ndarray) -> np.ndarray:
    """How far some expressions together move some vertices, relative to the vertex of the face that they move most."""
    offset = sum(face.expression[name][: _ENDS[FACE]].astype(float) for name in names)
    length = np.linalg.norm(offset, axis=1)
    inside = vertices < _ENDS[FACE]
    return np.where(inside, length[np.where(inside, vertices, 0)], 0) / length.max()
