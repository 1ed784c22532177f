"""Binary glTF 2.0 (.glb): the triangles of its scene and its first colour texture."""

import json
import struct

import numpy as np

from olatkit.errors import FormatError

GLB_MAGIC = b"glTF"

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TRIANGLES = 4
_COMPRESSED = {"EXT_meshopt_compression": "meshopt", "KHR_mesh_quantization": "quantization"}
_DRACO = "KHR_draco_mesh_compression"

Parsed = tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]


def parse_glb(data: bytes) -> Parsed:
    """Points (V, 3), triangles (F, 3), texture coordinates (V, 2) or None, colour picture or None.

    Nodes are placed as in the default scene; animation and skinning are not applied. Texture coordinates are None
    unless every part has them.

    Raises
    ------
    FormatError
        The geometry is compressed otherwise than by Draco, or by Draco and DracoPy is not installed (extra ``sim``); the
        file is truncated, or of another version than 2.
    """
    document, binary = _chunks(data)
    for extension, name in _COMPRESSED.items():
        if extension in [*document.get("extensionsRequired", []), *document.get("extensionsUsed", [])]:
            raise FormatError(
                f"the geometry is compressed ({name}), which is not read; export it without compression, "
                "or open it in Blender and save it as OBJ"
            )
    points: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    coordinates: list[np.ndarray] = []
    for node, matrix in _placed_nodes(document):
        for part in document["meshes"][node["mesh"]]["primitives"]:
            if part.get("mode", _TRIANGLES) != _TRIANGLES:
                continue
            draco = part.get("extensions", {}).get(_DRACO)
            position, index, uv = _draco_part(document, binary, draco) if draco else _plain_part(document, binary, part)
            count = sum(len(block) for block in points)
            points.append(position @ matrix[:3, :3].T + matrix[:3, 3])
            faces.append(index.astype(np.int64).reshape(-1, 3) + count)
            if uv is not None:
                coordinates.append(uv)
    if not faces:
        return np.zeros((0, 3)), np.zeros((0, 3), int), None, None
    uv = np.concatenate(coordinates) if len(coordinates) == len(points) else None
    return np.concatenate(points), np.concatenate(faces), uv, _colour_texture(document, binary)


def _chunks(data: bytes) -> tuple[dict, bytes]:
    """The JSON document and the binary chunk."""
    _, version, length = struct.unpack_from("<4sII", data)
    if version != 2:
        raise FormatError(f"glTF version {version}, expected 2; export the mesh again")
    if length > len(data):
        raise FormatError(f"truncated: {len(data)} of {length} bytes; copy the file again")
    size, _ = struct.unpack_from("<I4s", data, 12)
    document = json.loads(data[20 : 20 + size])
    start = 20 + size
    if start + 8 > length:
        return document, b""
    size, _ = struct.unpack_from("<I4s", data, start)
    return document, data[start + 8 : start + 8 + size]


def _placed_nodes(document: dict) -> list[tuple[dict, np.ndarray]]:
    """Every node of the scene that has a mesh, with its matrix (4, 4) to the world."""
    nodes = document.get("nodes", [])
    children = {child for node in nodes for child in node.get("children", [])}
    scenes = document.get("scenes", [])
    roots = scenes[document.get("scene", 0)].get("nodes", []) if scenes else sorted(set(range(len(nodes))) - children)
    placed, waiting = [], [(root, np.eye(4)) for root in reversed(roots)]
    visits = 0
    while waiting:
        index, above = waiting.pop()
        visits += 1
        if visits > len(nodes):
            raise FormatError("the nodes of the scene form a loop; export the mesh again")
        matrix = above @ _node_matrix(nodes[index])
        if "mesh" in nodes[index]:
            placed.append((nodes[index], matrix))
        waiting += [(child, matrix) for child in nodes[index].get("children", [])]
    return placed


def _node_matrix(node: dict) -> np.ndarray:
    """Node to parent (4, 4), from a matrix or from translation, rotation (quaternion x, y, z, w) and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    out = np.eye(4)
    out[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    out[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), float)
    out[:3, 3] = node.get("translation", (0, 0, 0))
    return out


def _plain_part(document: dict, binary: bytes, part: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Positions, indices and texture coordinates of a primitive, as they lie in the file."""
    attributes = part["attributes"]
    position = _accessor(document, binary, attributes["POSITION"]).astype(float)
    index = _accessor(document, binary, part["indices"]) if "indices" in part else np.arange(len(position))
    uv = _unit(_accessor(document, binary, attributes["TEXCOORD_0"])) if "TEXCOORD_0" in attributes else None
    return position, index, uv


def _draco_part(document: dict, binary: bytes, draco: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The same of a primitive that Draco has compressed."""
    try:
        import DracoPy
    except ImportError as error:
        raise FormatError(
            "the geometry is compressed (Draco), which needs DracoPy: pip install 'olatkit[sim]'; or open it in Blender and "
            "save it as OBJ"
        ) from error
    view = document["bufferViews"][draco["bufferView"]]
    start = view.get("byteOffset", 0)
    stored = binary[start : start + view["byteLength"]]
    try:
        mesh = DracoPy.decode(stored)
    except (DracoPy.FileTypeException, ValueError, RuntimeError) as error:
        raise FormatError(f"its Draco geometry is damaged ({error}); copy the file again") from error
    by_number = {entry["unique_id"]: entry["data"] for entry in mesh.attributes}
    numbers = draco["attributes"]
    uv = by_number[numbers["TEXCOORD_0"]].astype(float) if "TEXCOORD_0" in numbers else None
    return by_number[numbers["POSITION"]].astype(float), np.asarray(mesh.faces), uv


def _accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    """Numbers of an accessor, shape (N,) or (N, width)."""
    accessor = document["accessors"][index]
    if "sparse" in accessor or "bufferView" not in accessor:
        raise FormatError("sparse accessors are not read; export the mesh again, for example as OBJ")
    view = document["bufferViews"][accessor["bufferView"]]
    if view.get("buffer", 0) != 0 or "uri" in document["buffers"][0]:
        raise FormatError("the geometry lies in another file; export one self-contained .glb")
    kind, width, count = np.dtype(_COMPONENTS[accessor["componentType"]]), _WIDTHS[accessor["type"]], accessor["count"]
    stride = view.get("byteStride", kind.itemsize * width)
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    if start + stride * (count - 1) + kind.itemsize * width > len(binary):
        raise FormatError("the geometry ends early; copy the file again")
    rows = np.ndarray((count, width), kind, binary, start, (stride, kind.itemsize))
    return rows[:, 0] if width == 1 else rows


def _unit(values: np.ndarray) -> np.ndarray:
    """Texture coordinates as numbers; integers stand for 0 to 1."""
    return values.astype(float) / (np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1)


def _colour_texture(document: dict, binary: bytes) -> np.ndarray | None:
    """The first base colour picture that is stored inside the file, RGB(A) as stored."""
    import cv2

    for material in document.get("materials", []):
        entry = material.get("pbrMetallicRoughness", {}).get("baseColorTexture")
        if entry is None:
            continue
        image = document["images"][document["textures"][entry["index"]]["source"]]
        if "bufferView" not in image:
            continue
        view = document["bufferViews"][image["bufferView"]]
        start = view.get("byteOffset", 0)
        stored = np.frombuffer(binary, np.uint8, view["byteLength"], start)
        picture = cv2.imdecode(stored, cv2.IMREAD_COLOR)
        if picture is None:
            raise FormatError(f"its texture ({image.get('mimeType', 'unknown type')}) is damaged; give one with --texture")
        return np.ascontiguousarray(picture[..., ::-1])
    return None
