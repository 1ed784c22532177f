"""A user's own mesh on the simulated stage: a rigid head with a colour texture and ray-traced shadows."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from olatkit.color import decode_srgb
from olatkit.errors import ConfigError, FormatError
from olatkit.io.images import read_image
from olatkit.io.meshes import Mesh, read_mesh
from olatkit.simulate import raster
from olatkit.simulate.identity import make_identity
from olatkit.simulate.model import Model
from olatkit.simulate.pose import PIVOT, Motion, rigid_weights, rotation_matrix
from olatkit.simulate.ray_origins import ray_origins
from olatkit.simulate.raytrace import RAYS_AT_ONCE, ShadowTracer, import_mitsuba
from olatkit.simulate.renderer import CpuRenderer, View
from olatkit.simulate.shape import head_features
from olatkit.simulate.subject import CENTRE_M, FIELD_M, Subject

# The mesh fills this share of the picture's height or width, so that it may move.
_FILL = 0.86
_BARE = 0.5
# Shadows are ray traced: no shadow map is made, and this one shadows nothing.
_NO_MAP, _NO_FRAME, _NO_OFFSET = np.zeros((1, 1), np.float32), np.zeros((3, 4), np.float32), np.zeros(2, np.float32)


@dataclass(frozen=True, eq=False)
class MeshView(View):
    """A view whose samples know where their shadow rays start.

    Attributes
    ----------
    origins : ndarray, shape (N, 3), float32
        Start of the shadow rays of every covered sample, in the rest pose.
    rotation : ndarray, shape (3, 3)
        Rest pose to world.
    """

    origins: np.ndarray
    rotation: np.ndarray


class MeshSubject(Subject):
    """A mesh from a file in place of the embedded head; it moves rigidly and has no expression.

    It is centred and scaled until it fills the picture, whatever its unit. Shading is Lambert plus
    GGX as for the embedded head, with vertex normals smoothed over all faces; what shadows what is ray traced.

    Parameters
    ----------
    path : path
        OBJ, PLY or GLB that looks along +Z with +Y up; see ``turn``.
    size : tuple of int
        Picture (height, width) in pixels.
    texture : path, optional
        Colour picture, sRGB if it has 8 or 16 bits and linear if it is EXR or HDR. The one inside a GLB is used by
        default; without any the mesh is grey with a reflectance of 0.5.
    flip_texture : bool
        Lay the picture on the mesh upside down: exporters differ in where they count its rows from.
    speed_px : float
        Peak image speed of the surface [px/s], as for :class:`Subject`.
    seed : int
        Path of the motion.
    turn : tuple of 3 floats
        Yaw, pitch and roll [degrees] that turn the mesh to look at the camera; (0, -90, 0) for a mesh with +Z up that
        looks along -Y.
    zoom : float
        Scale on top, from the middle of the upper edge: above 1 shoulders leave the picture and the head fills it.
    supersample : int
        Samples per pixel and axis.
    gloss, roughness : float
        Strength of the specular reflection relative to skin-like 4 % at normal incidence, and microfacet roughness.
    variant : str, optional
        Variant of Mitsuba; see :class:`olatkit.simulate.raytrace.ShadowTracer`.

    Attributes
    ----------
    rest_normals : ndarray, shape (V, 3), float32
        Unit vertex normals in the rest pose, that of ``model.points``.

    Raises
    ------
    ConfigError
        Mitsuba is not installed, a negative speed, or a roughness or gloss out of range.
    FormatError
        The mesh or the texture cannot be used; see :func:`olatkit.io.meshes.read_mesh`.
    """

    def __init__(
        self, path: str | os.PathLike[str], size: tuple[int, int] = (256, 256), *,
        texture: str | os.PathLike[str] | None = None, flip_texture: bool = False, speed_px: float = 60.0, seed: int = 1,
        turn: tuple[float, float, float] = (0.0, 0.0, 0.0), zoom: float = 1.0, supersample: int = 2,
        gloss: float = 0.8, roughness: float = 0.45, variant: str | None = None,
    ) -> None:
        # A person has an identity and an atlas made from it; this subject has a file, and shares all that follows.
        if not (speed_px >= 0 and zoom > 0 and gloss >= 0 and 0.05 <= roughness <= 1):
            raise ConfigError(
                f"speed_px is {speed_px}, zoom {zoom}, gloss {gloss} and roughness {roughness}, "
                "expected speed_px and gloss >= 0, zoom > 0, roughness 0.05 to 1"
            )
        import_mitsuba()
        mesh = read_mesh(path)
        points = _place(mesh.points, turn, zoom, size)
        self.seed, self.size, self.supersample = seed, size, supersample
        self._origin = {
            "mesh": Path(path).name, "mesh_sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
            "mesh_texture": "" if texture is None else Path(texture).name, "mesh_turn_deg": turn, "mesh_zoom": zoom,
            "mesh_texture_flipped": flip_texture, "mesh_gloss": gloss, "mesh_roughness": roughness,
        }
        self.pitch_m = FIELD_M / size[0]
        colour, uv = _colour(mesh, path, texture)
        if flip_texture and texture is None and mesh.texture is None:
            raise ConfigError(f"{path}: has no picture to turn upside down; leave --flip-texture out")
        colour = np.ascontiguousarray(colour[::-1]) if flip_texture else colour
        colour, uv = _match_texels(colour, uv, points[mesh.faces], mesh.faces, self.pitch_m / supersample)
        self.model = _make_model(mesh, points, colour, uv, gloss, roughness)
        self._renderer = CpuRenderer(self.model, 1)
        self._tracer = ShadowTracer(points, mesh.faces, variant=variant)
        self._rest = points.astype(np.float32)
        self.rest_normals = raster.vertex_normals(self._rest, self.model.faces, self.model.weld)
        self.motion = Motion(seed, expression=0.0)
        self.motion = Motion(seed, amplitude=self._amplitude(speed_px), expression=0.0)

    @property
    def description(self) -> dict[str, object]:
        """Which mesh is filmed and how it moves; see :attr:`Subject.description`."""
        return {**super().description, "subject": "mesh", **self._origin}

    def view(self, time_s: float, *, supersample: int | None = None) -> MeshView:
        """Trace the surface under every sample of the picture at a time."""
        view = super().view(time_s, supersample=supersample)
        rotation = self.pose(time_s).rotation
        origins = ray_origins(
            view.index, view.face, view.points, self.model.faces, self._rest, self.rest_normals,
            rotation.astype(np.float32), view.table,
        )
        return MeshView(**vars(view), origins=origins, rotation=rotation)

    def relight(self, view: View, directions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Radiance (H, W, 3) float32 under several lights at once; see :meth:`Subject.relight`."""
        out = np.zeros((*self.size, 3), np.float32)
        used = np.flatnonzero(np.any(weights, axis=1))
        self._add_lights(view, np.asarray(directions)[used], np.asarray(weights)[used], [out] * len(used))
        return out

    def olat(self, view: View, directions: np.ndarray) -> np.ndarray:
        """Radiance under each light alone at unit irradiance, shape (L, H, W, 3) float32."""
        out = np.zeros((len(directions), *self.size, 3), np.float32)
        self._add_lights(view, np.asarray(directions), np.ones((len(directions), 3)), list(out))
        return out

    def _front_points(self) -> np.ndarray:
        """Some rest points (V, 3) that the camera sees."""
        points, (height, width) = self.model.points, self.size
        half = FIELD_M / 2 * np.array([width / height, 1.0])
        shown = (np.abs(points[:, :2] - CENTRE_M) <= half).all(1) & (self.rest_normals[:, 2] > 0)
        front = points[shown] if shown.any() else points
        return front[:: max(1, len(front) // 2000)]

    def _add_lights(
        self, view: View, directions: np.ndarray, weights: np.ndarray, pictures: list[np.ndarray]
    ) -> None:
        """Add distant lights, each to its picture: shade the samples that see it. All rays of some lights at once."""
        assert isinstance(view, MeshView)
        some = max(1, RAYS_AT_ONCE // max(len(view.index), 1))
        for first in range(0, len(directions), some):
            lights = directions[first : first + some].astype(np.float32)
            facing = [np.flatnonzero(view.table[:, raster.NORMAL] @ light > 0) for light in lights]
            counts = [len(samples) for samples in facing]
            ways = np.repeat(lights @ view.rotation.astype(np.float32), counts, axis=0)
            sees = self._tracer.sees(view.origins[np.concatenate(facing)], ways)
            for k, lit in enumerate(np.split(sees, np.cumsum(counts)[:-1])):
                samples = facing[k][lit]
                raster.shade(
                    view.index[samples], view.table[samples], lights[k], _NO_MAP, _NO_FRAME, _NO_OFFSET,
                    view.face.shape[1], view.supersample, weights[first + k].astype(np.float32), pictures[first + k],
                )


def _place(
    points: np.ndarray, turn: tuple[float, float, float], zoom: float, size: tuple[int, int]
) -> np.ndarray:
    """Turn the points, centre them in the picture and scale them to fill it [m], then by ``zoom`` from the top."""
    turned = points @ rotation_matrix(*turn).T
    low, high = turned.min(0), turned.max(0)
    extent = np.maximum(high - low, 1e-9 * (high - low).max())
    field = np.array([FIELD_M * size[1] / size[0], FIELD_M])
    scale = _FILL * (field / extent[:2]).min()
    centred = (turned - (low + high) / 2) * scale
    top = np.array([0.0, extent[1] * scale / 2, 0.0])
    return top + (centred - top) * zoom + np.array([*CENTRE_M, PIVOT[2]])


def _colour(
    mesh: Mesh, path: str | os.PathLike[str], texture: str | os.PathLike[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Linear reflectance (Ht, Wt, 3) and texel coordinates (V, 2), integers at texel centres."""
    picture = read_image(texture) if texture is not None else mesh.texture
    if picture is None:
        return np.full((1, 1, 3), _BARE, np.float32), np.zeros((len(mesh.points), 2))
    if mesh.uv is None:
        raise FormatError(
            f"{path}: no texture coordinates, so '{texture or 'its picture'}' cannot be laid on it; unwrap the mesh and "
            "export it with UVs, or leave the texture out"
        )
    low, high = mesh.uv.min(), mesh.uv.max()
    if low < -0.01 or high > 1.01:
        raise FormatError(
            f"{path}: texture coordinates run from {low:.3g} to {high:.3g}, expected 0 to 1 (one picture, no tiles); "
            "bake them into one picture"
        )
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, 2)
    colour = picture[..., :3].astype(np.float32)
    if picture.dtype.kind == "u":
        colour = decode_srgb(colour / np.float32(np.iinfo(picture.dtype).max)).astype(np.float32)
    if not (np.isfinite(colour).all() and colour.min() >= 0):
        raise FormatError(f"{texture}: negative or undefined colours, expected a reflectance of 0 to 1")
    return colour, mesh.uv * [colour.shape[1], colour.shape[0]] - 0.5


def _match_texels(
    colour: np.ndarray, uv: np.ndarray, corners: np.ndarray, faces: np.ndarray, sample_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """Average a texture down to about one texel per sample, so that it does not flicker when it moves."""
    b, c = uv[faces[:, 1]] - uv[faces[:, 0]], uv[faces[:, 2]] - uv[faces[:, 0]]
    texels = np.abs(b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]).sum()
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    shrink = np.sqrt(texels * sample_m**2 / area)
    if shrink > 1:
        height, width = (max(1, round(side / shrink)) for side in colour.shape[:2])
        uv = (uv + 0.5) * [width / colour.shape[1], height / colour.shape[0]] - 0.5
        colour = cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA)
    return colour, np.clip(uv, 0, [colour.shape[1] - 1, colour.shape[0] - 1])


def _make_model(
    mesh: Mesh, points: np.ndarray, colour: np.ndarray, uv: np.ndarray, gloss: float, roughness: float
) -> Model:
    """The mesh as the renderer wants it: all of it skin, nothing cut away, everything rigid."""
    surface = np.zeros((*colour.shape[:2], raster.CHANNELS), np.float32)
    surface[..., raster.ALBEDO] = colour
    surface[..., raster.SPECULAR], surface[..., raster.ROUGHNESS] = gloss, roughness
    # Vertices of one place, which seams of the texture divide, share a normal: the first one's.
    _, first, place = np.unique(mesh.points, axis=0, return_index=True, return_inverse=True)
    weld = first[place.ravel()].astype(np.int32)
    # Landmarks belong to a model; without weights for expression nothing follows them.
    features = head_features(make_identity(0))
    return Model(
        points, mesh.faces, np.zeros(len(mesh.faces), bool), uv.astype(np.float32), weld, rigid_weights(points),
        features, surface, np.ones(colour.shape[:2], np.uint8), np.zeros(colour.shape[:2], np.float32),
    )
