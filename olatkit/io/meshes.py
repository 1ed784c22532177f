"""Triangle meshes on disk: Wavefront OBJ, Stanford PLY and binary glTF (:mod:`olatkit.io.glb`)."""

import os
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.glb import GLB_MAGIC, parse_glb
from olatkit.wording import counted

PathLike = str | os.PathLike[str]

_PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}
_PLY_UV = (("u", "v"), ("s", "t"), ("texture_u", "texture_v"))


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with optional texture coordinates.

    Attributes
    ----------
    points : ndarray, shape (V, 3), float64
        Positions in the units of the file; every one belongs to a face.
    faces : ndarray, shape (F, 3), int32
        Vertex indices of the triangles; polygons have been cut into fans.
    uv : ndarray, shape (V, 2), float64, or None
        Texture coordinates, (0, 0) the upper left corner of the picture and (1, 1) the lower right one.
    texture : ndarray or None
        Colour picture that came inside the file, as stored: usually uint8 sRGB, (H, W, 3) or (H, W, 4).
    """

    points: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None


def read_mesh(path: PathLike) -> Mesh:
    """Read a mesh by the content of the file (OBJ by its suffix).

    Normals, materials and vertex colours are not read, of a GLB only its first colour texture.

    Raises
    ------
    FormatError
        The file is missing, damaged, of another format or compressed, or has no faces, no extent, positions that
        are not finite, or faces of vertices that do not exist.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error
    is_obj = Path(path).suffix.lower() == ".obj"
    if not (is_obj or data.startswith((GLB_MAGIC, b"ply"))):
        raise FormatError(
            f"{path}: not a mesh that can be read (starts with {data[:4]!r}), expected OBJ, PLY or GLB; export it from "
            "its program, or from Blender, as OBJ"
        )
    try:
        if is_obj:
            points, faces, uv, texture = *_parse_obj(data.decode("utf-8", "replace")), None
        elif data.startswith(b"ply"):
            points, faces, uv, texture = *_parse_ply(data), None
        else:
            points, faces, uv, texture = parse_glb(data)
        return _check(points, faces, uv, texture)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        reason = " ".join(str(error).split())
        raise FormatError(f"{path}: damaged mesh ({reason}); export it again, for example as OBJ") from error


def _check(points: np.ndarray, faces: np.ndarray, uv: np.ndarray | None, texture: np.ndarray | None) -> Mesh:
    """The mesh without unused vertices and empty triangles, or a FormatError."""
    if not len(faces):
        raise FormatError(f"no faces among {len(points)} vertices, expected a surface of triangles; mesh the point cloud")
    if faces.min() < 0 or faces.max() >= len(points):
        worst = int(faces.max() if faces.max() >= len(points) else faces.min())
        raise FormatError(f"a face refers to vertex {worst} of {len(points)}; export the mesh again")
    distinct = (faces != np.roll(faces, 1, 1)).all(1)
    used, faces = np.unique(faces[distinct], return_inverse=True)
    points = np.asarray(points, float)[used]
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points).all(1)).sum())
        raise FormatError(f"not finite: the position of {counted(bad, 'vertex', 'vertices')}; repair the mesh")
    if not len(used) or not np.ptp(points, 0).max() > 0:
        raise FormatError("all faces have no area; export the mesh again")
    if uv is not None:
        uv = np.asarray(uv, float)[used]
        if not np.isfinite(uv).all():
            raise FormatError("texture coordinates are not finite; unwrap the mesh again")
    return Mesh(points, faces.reshape(-1, 3).astype(np.int32), uv, texture)


def _parse_obj(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Points, triangles and texture coordinates of an OBJ; one vertex for each pair of position and coordinate."""
    points: list[list[float]] = []
    coordinates: list[list[float]] = []
    corners: dict[tuple[int, int], int] = {}
    faces: list[tuple[int, int, int]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0] not in ("v", "vt", "f"):
            continue
        try:
            if words[0] == "v":
                x, y, z = words[1:4]
                points.append([float(x), float(y), float(z)])
            elif words[0] == "vt":
                u, v = words[1:3]
                coordinates.append([float(u), 1 - float(v)])
            else:
                ring = [_obj_corner(word, len(points), len(coordinates)) for word in words[1:]]
                ids = [corners.setdefault(corner, len(corners)) for corner in ring]
                faces += [(ids[0], b, c) for b, c in pairwise(ids[1:])]
        except ValueError as error:
            raise FormatError(f"line {number} is {line[:60]!r}: {error}; export the mesh again") from error
    if not faces:
        return np.array(points).reshape(-1, 3), np.zeros((0, 3), int), None
    position, coordinate = np.array(list(corners)).T
    uv = np.array(coordinates)[coordinate] if coordinate.min() >= 0 else None
    return np.array(points)[position], np.array(faces), uv


def _obj_corner(word: str, points: int, coordinates: int) -> tuple[int, int]:
    """Zero-based (position, texture coordinate or -1) of ``p``, ``p/t``, ``p/t/n`` or ``p//n``; negative from the end."""
    parts = [*word.split("/"), "", ""]
    found = []
    for part, count in zip(parts, (points, coordinates), strict=False):
        index = int(part) if part else 0
        index = index - 1 if index > 0 else count + index if index else -1
        if index >= count or (part and index < 0):
            raise ValueError(f"corner '{word}' refers to something that is not there")
        found.append(index)
    if found[0] < 0:
        raise ValueError(f"corner '{word}' has no vertex")
    return found[0], found[1]


def _parse_ply(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Points, triangles and texture coordinates of an ASCII or binary PLY."""
    end = data.find(b"end_header")
    if end < 0:
        raise FormatError("the PLY header has no end; copy the file again")
    kind = ""
    elements: list[tuple[str, int, list[tuple[str, list[str]]]]] = []
    for line in data[:end].decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            kind = words[1]
        elif words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"]:
            elements[-1][2].append((words[-1], [_PLY_TYPES[word] for word in words[1:-1] if word != "list"]))
    body = data[data.index(b"\n", end) + 1 :]
    order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}.get(kind)
    if order is None:
        raise FormatError(f"PLY format '{kind}' is not known, expected ascii, binary_little_endian or binary_big_endian")
    read = _PlyBody(body.split() if not order else body, order)
    table = {name: read.element(count, properties) for name, count, properties in elements}
    vertex, face = table["vertex"], table.get("face", {})
    points = np.stack([np.asarray(vertex[k], float) for k in "xyz"], 1)
    rings = face.get("vertex_indices", face.get("vertex_index", []))
    faces = [(ring[0], b, c) for ring in rings for b, c in pairwise(ring[1:])]
    uv = next((np.stack([vertex[u], 1 - np.asarray(vertex[v])], 1) for u, v in _PLY_UV if u in vertex), None)
    return points, np.array(faces, int).reshape(-1, 3), uv


class _PlyBody:
    """What follows a PLY header, read element by element; ``order`` is '' for ASCII words, else the byte order."""

    def __init__(self, body: bytes | list[bytes], order: str) -> None:
        self._body, self._order, self._at = body, order, 0

    def element(self, count: int, properties: list[tuple[str, list[str]]]) -> dict[str, list]:
        """Columns of one element by property; a list property holds a tuple for each row."""
        columns: dict[str, list] = {name: [] for name, _ in properties}
        for _ in range(count):
            for name, types in properties:
                if len(types) == 2:
                    length = int(self._take(types[0], 1)[0])
                    columns[name].append(self._take(types[1], length))
                else:
                    columns[name].append(self._take(types[0], 1)[0])
        return columns

    def _take(self, kind: str, count: int) -> tuple:
        """The next ``count`` numbers."""
        if not self._order:
            words = self._body[self._at : self._at + count]
            self._at += count
            if len(words) < count:
                raise FormatError("the PLY ends early; copy the file again")
            return tuple(float(word) if kind[0] == "f" else int(word) for word in words)
        code = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}[kind]
        size = int(kind[1]) * count
        if self._at + size > len(self._body):
            raise FormatError("the PLY ends early; copy the file again")
        values = struct.unpack_from(f"{self._order}{count}{code}", self._body, self._at)  # type: ignore[arg-type]
        self._at += size
        return values
