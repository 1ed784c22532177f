"""The subject as one triangle mesh with a texture atlas: head, hair, eyes, ears, mouth, neck and shoulders."""

from dataclasses import dataclass, fields

import cv2
import numpy as np

from olatkit.simulate import shape, texture
from olatkit.simulate.hair import hair_grid
from olatkit.simulate.identity import Identity
from olatkit.simulate.pose import Weights, head_weights, rigid_weights
from olatkit.simulate.shape import MOUTH_Y, Features, head_features
from olatkit.simulate.texture import PartTexture, smoothstep

# Rows and columns of the full-resolution texture of the head and the hair; a texel is about 0.3 mm on the face.
_TEXTURE = (896, 1024)
_TEXEL_M = 0.0003


@dataclass(frozen=True, eq=False)
class Model:
    """Rest mesh of a subject.

    Attributes
    ----------
    points : ndarray, shape (V, 3), float64
        Rest positions [m].
    faces : ndarray, shape (F, 3), int32
        Triangles, counter-clockwise from outside.
    cutout : ndarray of bool, shape (F,)
        Faces whose texels may be cut away.
    uv : ndarray, shape (V, 2), float32
        Texel coordinates in the atlas.
    weld : ndarray, shape (V,), int32
        Vertex with which each one shares its normal (across the seam of a part).
    weights : Weights
        How each vertex moves.
    features : Features
        Landmarks.
    surface, label, cut : ndarray
        Atlas: (Ht, Wt, CHANNELS) float32, (Ht, Wt) uint8, (Ht, Wt) float32.
    """

    points: np.ndarray
    faces: np.ndarray
    cutout: np.ndarray
    uv: np.ndarray
    weld: np.ndarray
    weights: Weights
    features: Features
    surface: np.ndarray
    label: np.ndarray
    cut: np.ndarray


@dataclass(frozen=True, eq=False)
class _Part:
    """One grid of the mesh with its texture; ``closed`` if the first and last column coincide."""

    grid: np.ndarray
    weights: Weights
    texture: PartTexture
    closed: bool = True
    outward: tuple[float, float, float] | None = None


def build_model(identity: Identity, *, height: int, supersample: int = 2) -> Model:
    """Build a person's mesh, as fine as pictures of ``height`` rows need."""
    detail = float(np.clip(height / 256, 0.6, 2.0))
    sample_m = 0.36 / (height * supersample)
    shrink = max(1.0, 0.8 * sample_m / _TEXEL_M)
    rows, columns = int(210 * detail), int(240 * detail)
    f = head_features(identity)
    skull = shape.head_grid(identity, rows, columns)
    skull_texels = _upsample(skull, _TEXTURE)
    parts = [_Part(skull, head_weights(skull.reshape(-1, 3), f), texture.head_texture(identity, skull_texels))]
    locks = hair_grid(identity, skull)
    falls = rigid_weights(locks.reshape(-1, 3))
    parts.append(_Part(locks, falls, texture.hair_texture(identity, hair_grid(identity, skull_texels))))
    for side in (-1, 1):
        ball = shape.eye_grid(identity, side, 24, 40)
        grown = texture.eye_texture(identity, shape.eye_grid(identity, side, 128, 256), side)
        parts.append(_Part(ball, rigid_weights(ball.reshape(-1, 3), ball=1.0), grown))
        ear = shape.ear_grid(identity, side, int(36 * detail), int(40 * detail))
        flesh = texture.ear_texture(identity, _upsample(ear, (128, 256)), side)
        parts.append(_Part(ear, rigid_weights(ear.reshape(-1, 3)), flesh))
    trunk = shape.trunk_grid(identity, int(70 * detail), int(110 * detail))
    follow = smoothstep(-0.165, -0.075, trunk[..., 1].ravel())
    parts.append(_Part(trunk, rigid_weights(trunk.reshape(-1, 3), follow),
                       texture.trunk_texture(identity, _upsample(trunk, (320, 640)))))
    mouth = shape.mouth_grid(identity, 24, 32)
    drop = smoothstep(MOUTH_Y + 0.001, MOUTH_Y - 0.006, mouth[..., 1].ravel())
    parts.append(_Part(mouth, rigid_weights(mouth.reshape(-1, 3), jaw=drop),
                       texture.mouth_texture(identity, _upsample(mouth, (128, 160))), False, (0.0, 0.0, 1.0)))
    return _assemble(parts, f, shrink)


def _upsample(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grid points (rows, columns, 3) at ``size`` texels, corners on corners."""
    v = np.linspace(0, grid.shape[0] - 1, size[0], dtype=np.float32)
    u = np.linspace(0, grid.shape[1] - 1, size[1], dtype=np.float32)
    fine = cv2.remap(grid.astype(np.float32), *np.meshgrid(u, v), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return fine.astype(float)


def _assemble(parts: list[_Part], f: Features, shrink: float) -> Model:
    """Join the parts into one mesh and stack their textures, reduced by ``shrink``, into one atlas."""
    faces, cutout, uv, weld = [], [], [], []
    surfaces, labels, cuts = [], [], []
    first_vertex = first_row = 0
    for part in parts:
        rows, columns = part.grid.shape[:2]
        full = part.texture.label.shape
        size = (max(8, round(full[0] / shrink)), max(8, round(full[1] / shrink)))
        surfaces.append(_resize(part.texture.surface, size))
        cuts.append(_resize(part.texture.cut, size))
        labels.append(cv2.resize(part.texture.label, size[::-1], interpolation=cv2.INTER_NEAREST))
        v = np.clip((np.linspace(0, full[0] - 1, rows) + 0.5) * size[0] / full[0] - 0.5, 0, size[0] - 1)
        u = np.clip((np.linspace(0, full[1] - 1, columns) + 0.5) * size[1] / full[1] - 0.5, 0, size[1] - 1)
        uv.append(np.stack(np.meshgrid(u, v + first_row), -1).reshape(-1, 2))
        quads = _grid_faces(part)
        ragged, whole = _cut_faces(quads, part.texture.cut, rows, columns)
        faces.append(quads[~whole] + first_vertex)
        cutout.append(ragged[~whole])
        ids = np.arange(rows * columns).reshape(rows, columns)
        if part.closed:
            ids[:, -1] = ids[:, 0]
        weld.append(ids.ravel() + first_vertex)
        first_vertex += rows * columns
        first_row += size[0]
    width = max(s.shape[1] for s in surfaces)
    weights = Weights(**{
        k.name: np.concatenate([getattr(p.weights, k.name) for p in parts]).astype(np.float32) for k in fields(Weights)
    })
    points = np.concatenate([p.grid.reshape(-1, 3) for p in parts])
    return Model(
        points, np.concatenate(faces).astype(np.int32), np.concatenate(cutout), np.concatenate(uv).astype(np.float32),
        np.concatenate(weld).astype(np.int32), weights, f, _stack(surfaces, width), _stack(labels, width),
        _stack(cuts, width),
    )


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Area-mean reduction to ``size``, any number of channels."""
    if image.shape[:2] == size:
        return image
    planes = image[..., None] if image.ndim == 2 else image
    out = np.stack([cv2.resize(np.ascontiguousarray(planes[..., k]), size[::-1], interpolation=cv2.INTER_AREA)
                    for k in range(planes.shape[2])], -1)
    return out[..., 0] if image.ndim == 2 else out


def _stack(blocks: list[np.ndarray], width: int) -> np.ndarray:
    """Stack images of different width, padded by their last column."""
    wide = [np.pad(b, [(0, 0), (0, width - b.shape[1])] + [(0, 0)] * (b.ndim - 2), mode="edge") for b in blocks]
    return np.ascontiguousarray(np.concatenate(wide))


def _grid_faces(part: _Part) -> np.ndarray:
    """Triangles (F, 3) of a grid, wound so that normals point outward."""
    rows, columns = part.grid.shape[:2]
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    b, c, d = a + 1, a + columns, a + columns + 1
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    corners = part.grid.reshape(-1, 3)[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = corners.mean(1) - part.grid.reshape(-1, 3).mean(0) if part.outward is None else np.array(part.outward)
    return faces if (normal * outward).sum() > 0 else faces[:, ::-1].copy()


def _cut_faces(faces: np.ndarray, cut: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Which faces touch a cut-out, and which lie wholly inside one."""
    if not cut.any():
        nowhere = np.zeros(len(faces), bool)
        return nowhere, nowhere
    # Largest and smallest cut value within one grid cell of every vertex.
    kernel = np.ones((2 * -(-cut.shape[0] // rows) + 1, 2 * -(-cut.shape[1] // columns) + 1), np.uint8)
    most, least = cv2.dilate(cut, kernel), cv2.erode(cut, kernel)
    v = np.round(np.linspace(0, cut.shape[0] - 1, rows)).astype(int)
    u = np.round(np.linspace(0, cut.shape[1] - 1, columns)).astype(int)
    touched = (most[v[:, None], u] > 0.2).ravel()[faces].any(1)
    inside = (least[v[:, None], u] > 0.8).ravel()[faces].all(1)
    return touched, inside

