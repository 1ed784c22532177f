"""Meshes from OBJ, PLY and GLB are the same triangles; damaged and unusable ones are one line."""

import json
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from olatkit.errors import FormatError
from olatkit.io.meshes import Mesh, read_mesh

# A square of two triangles and a fifth, unused vertex; texture coordinates have v upwards, as OBJ and PLY count.
POINTS = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0.5], [9, 9, 9]], float)
DRACO = "KHR_draco_mesh_compression"
UV = np.array([[0, 0], [1, 0], [1, 0.75], [0, 0.75], [0, 0]], float)
FACES = [[0, 1, 2], [0, 2, 3]]


def _obj(face_lines: str) -> str:
    lines = [f"v {x} {y} {z}" for x, y, z in POINTS] + [f"vt {u} {v}" for u, v in UV]
    return "\n".join([*lines, face_lines])


def _ply(kind: str) -> bytes:
    header = (
        f"ply\nformat {kind} 1.0\ncomment made by hand\nelement vertex 5\nproperty float x\nproperty float y\n"
        "property float z\nproperty float s\nproperty float t\nelement face 1\n"
        "property list uchar int vertex_indices\nproperty uchar flags\nend_header\n"
    )
    rows = np.concatenate([POINTS, UV], 1)
    if kind == "ascii":
        return (header + "\n".join(" ".join(map(str, row)) for row in rows) + "\n4 0 1 2 3 7\n").encode()
    order = "<" if "little" in kind else ">"
    body = rows.astype(f"{order}f4").tobytes() + struct.pack(f"{order}B4iB", 4, 0, 1, 2, 3, 7)
    return header.encode() + body


def make_glb(change: dict | None = None, picture: np.ndarray | None = None) -> bytes:
    """A binary glTF of the square, half as large and moved by a node; ``change`` overrides parts of the document."""
    image = cv2.imencode(".png", picture)[1].tobytes() if picture is not None else b""
    indices = np.array(FACES, "<u2").ravel().tobytes()
    down = np.stack([UV[:, 0], 1 - UV[:, 1]], 1)
    blocks = [(2 * POINTS).astype("<f4").tobytes(), down.astype("<f4").tobytes(), indices, image]
    starts = np.cumsum([0] + [len(block) for block in blocks]).tolist()
    document = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [
            {"children": [1], "translation": [0, 0, 3]},
            # Half a turn about Z twice over: the child turns back what its own scale mirrors.
            {"mesh": 0, "rotation": [0, 0, 1, 0], "scale": [-0.5, -0.5, 0.5], "translation": [0, 0, -3]},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 5, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 5, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": 6, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": len(block)}
            for start, block in zip(starts, blocks, strict=False)
        ],
        "buffers": [{"byteLength": starts[-1]}], "materials": [{}],
    }
    if picture is not None:
        document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        document |= {"textures": [{"source": 0}], "images": [{"bufferView": 3, "mimeType": "image/png"}]}
    document |= change or {}
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(blocks)
    binary += b"\0" * (-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    return (
        struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(text), b"JSON") + text
        + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )


def _corners(mesh: Mesh) -> np.ndarray:
    """Position and texture coordinate of every triangle's corners, (F, 3, 5)."""
    assert mesh.uv is not None
    return np.concatenate([mesh.points, mesh.uv], 1)[mesh.faces]


def _triangles(mesh: Mesh | np.ndarray) -> set[tuple]:
    """Corners to a thousandth, each triangle from its smallest corner on: a codec may put them in another order."""
    corners = _corners(mesh) if isinstance(mesh, Mesh) else mesh
    rows = [[tuple(np.round(corner, 3) + 0.0) for corner in triangle] for triangle in corners]
    return {tuple(row[row.index(min(row)) :] + row[: row.index(min(row))]) for row in rows}


def _square() -> np.ndarray:
    return np.concatenate([POINTS, UV[:, :1], 1 - UV[:, 1:]], 1)[np.array(FACES)]


CASES = {
    "triangles.obj": _obj("f 1/1 2/2 3/3\nf 1/1 3/3 4/4").encode(),
    "polygon.obj": _obj("o head\nusemtl skin\nf 1/1/1 2/2/1 3/3/1 4/4/1  # quad".replace("  # quad", "")).encode(),
    "from the end.OBJ": _obj("f -5/-5 -4/-4 -3/-3 -2/-2").encode(),
    "ascii.ply": _ply("ascii"), "little.ply": _ply("binary_little_endian"), "big.ply": _ply("binary_big_endian"),
    "scene.glb": make_glb(),
}


@pytest.mark.parametrize("name", CASES)
def test_every_format_gives_the_same_triangles(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CASES[name])
    mesh = read_mesh(path)
    np.testing.assert_allclose(_corners(mesh), _square(), atol=1e-6)  # PLY and GLB hold float32
    assert len(mesh.points) == 4


def test_a_seam_divides_a_vertex(tmp_path: Path) -> None:
    path = tmp_path / "seam.obj"
    path.write_text(_obj("f 1/1 2/2 3/3\nf 1/4 3/1 4/2"))
    mesh = read_mesh(path)
    assert len(mesh.points) == 6
    assert len(np.unique(mesh.points, axis=0)) == 4


@pytest.mark.parametrize("corners", ["1 2 3", "1//1 2//1 3//1"])
def test_without_texture_coordinates_there_are_none(tmp_path: Path, corners: str) -> None:
    path = tmp_path / "bare.obj"
    path.write_text(_obj(f"f {corners}"))
    assert read_mesh(path).uv is None


def test_a_texture_inside_a_glb_is_found(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
    path = tmp_path / "scene.glb"
    path.write_bytes(make_glb(picture=picture))
    np.testing.assert_array_equal(read_mesh(path).texture, picture[..., ::-1])  # OpenCV writes BGR


def make_draco_glb(stored: bytes, position: int = 0, uv: int = 1) -> bytes:
    """The square as :func:`make_glb` makes it, its geometry replaced by what Draco made of it, attributes by number."""
    draco = {"bufferView": 3, "attributes": {"POSITION": position, "TEXCOORD_0": uv}}
    part = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "extensions": {DRACO: draco}}
    plain = make_glb()
    size = struct.unpack_from("<I", plain, 12)[0]
    document, start = json.loads(plain[20 : 20 + size]), len(plain) - 28 - size
    views = [*document["bufferViews"][:3], {"buffer": 0, "byteOffset": start, "byteLength": len(stored)}]
    change = {"meshes": [{"primitives": [part]}], "bufferViews": views, "extensionsRequired": [DRACO]}
    text = json.dumps(document | change).encode()
    text += b" " * (-len(text) % 4)
    binary = plain[28 + size :] + stored
    binary += b"\0" * (-len(binary) % 4)
    return (
        struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary)) + struct.pack("<I4s", len(text), b"JSON") + text
        + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )


def test_a_glb_that_draco_compressed_gives_the_same_triangles(tmp_path: Path) -> None:
    codec = pytest.importorskip("DracoPy")
    down = np.stack([UV[:, 0], 1 - UV[:, 1]], 1)
    stored = codec.encode(2 * POINTS, np.array(FACES, np.uint32), tex_coord=down, quantization_bits=16)
    numbers = {entry["attribute_type"]: entry["unique_id"] for entry in codec.decode(stored).attributes}
    path = tmp_path / "draco.glb"
    path.write_bytes(make_draco_glb(stored, numbers[0], numbers[3]))
    assert _triangles(read_mesh(path)) == _triangles(_square())
    path.write_bytes(make_draco_glb(stored[:20]))
    with pytest.raises(FormatError, match="its Draco geometry is damaged"):
        read_mesh(path)


def test_draco_without_its_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    path = tmp_path / "draco.glb"
    path.write_bytes(make_draco_glb(b"DRACO"))
    with pytest.raises(FormatError, match=r"compressed \(Draco\), which needs DracoPy: pip install 'olatkit\[sim\]'.*OBJ"):
        read_mesh(path)


def test_empty_triangles_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mesh.obj"
    path.write_text(_obj("f 1 2 3\nf 1 1 4"))
    assert read_mesh(path).faces.tolist() == [[0, 1, 2]]


BAD = {
    "points.obj": (_obj(""), "no faces among 5 vertices"),
    "beyond.obj": (_obj("f 1 2 77"), "line 11 is 'f 1 2 77': corner '77' refers to something that is not there"),
    "zero.obj": (_obj("f 0 1 2"), "corner '0'"),
    "text.obj": (_obj("f 1 2 3\nv 1 2 here"), "line 12 is 'v 1 2 here'"),
    "short.obj": ("v 1 2\n", "line 1 is 'v 1 2'"),
    "nan.obj": (_obj("f 1 2 3").replace("v 2.0 1.0 0.0", "v 2.0 nan 0.0"), "not finite: the position of 1 vertex"),
    "point.obj": ("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "no area"),
    "cloud.ply": (_ply("ascii").replace(b"face 1", b"face 0"), "no faces among 5 vertices"),
    "early.ply": (_ply("binary_big_endian")[:-3], "the PLY ends early"),
    "words.ply": (_ply("ascii")[:-8], "the PLY ends early"),
    "far.ply": (_ply("ascii").replace(b"4 0 1 2 3", b"4 0 1 2 8"), "a face refers to vertex 8 of 5"),
    "kind.ply": (_ply("ascii").replace(b"ascii", b"ebcdic"), "PLY format 'ebcdic' is not known"),
    "header.ply": (b"ply\nformat ascii 1.0\n", "header has no end"),
    "type.ply": (_ply("ascii").replace(b"float x", b"quad x"), "damaged mesh"),
    "meshopt.glb": (make_glb({"extensionsRequired": ["EXT_meshopt_compression"]}), r"compressed \(meshopt\).*as OBJ"),
    "cut.glb": (make_glb()[:-9], "truncated: "),
    "old.glb": (make_glb().replace(b"glTF\2", b"glTF\1"), "glTF version 1, expected 2"),
    "broken.glb": (make_glb().replace(b'{"asset"', b'["asset"'), "damaged mesh"),
    "long.glb": (make_glb({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 999, "type": "VEC3"}] * 3}),
                 "geometry ends early"),
    "loop.glb": (make_glb({"nodes": [{"children": [0]}]}), "form a loop"),
    "empty.glb": (make_glb({"scenes": [{}]}), "no faces"),
    "head.fbx": (b"Kaydara FBX", "not a mesh that can be read.*expected OBJ, PLY or GLB"),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_meshes_are_one_line(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FormatError, match=message) as caught:
        read_mesh(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_mesh_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"nobody\.obj: cannot be read: No such file"):
        read_mesh(tmp_path / "nobody.obj")
