"""The ICT face model (ICT-FaceKit, USC Institute for Creative Technologies, MIT licence) packed into one .npz file.

The user brings the file; it is not part of olatkit. Keys: ``neutral`` (V, 3) [cm], ``delta`` (S, V, 3) offsets of the
shapes in ``names``, ``faces`` (F, 4) vertices of quads with -1 for the fourth of a triangle, ``uv`` (U, 2) with (0, 0)
the lower left corner of the first tile, ``faces_uv`` (F, 4).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from olatkit.errors import FormatError

VERTICES = 26719
KEYS = ("neutral", "delta", "names", "faces", "uv", "faces_uv")


@dataclass(frozen=True, eq=False)
class IctFace:
    """A morphable face: positions are ``neutral`` + Σ weight · shape.

    ``neutral`` (V, 3) [cm]; ``identity`` (I, V, 3) and ``expression`` by name (V, 3), float16; ``corners`` (T, 3, 2) int32:
    vertex and texture coordinate of every corner of a triangle; ``uv`` (U, 2); ``sha256`` of the file.
    """

    neutral: np.ndarray
    identity: np.ndarray
    expression: dict[str, np.ndarray]
    corners: np.ndarray
    uv: np.ndarray
    sha256: str


def read_ict_face(path: str | os.PathLike[str]) -> IctFace:
    """Read the packed model.

    Raises
    ------
    FormatError
        The file is missing, damaged, or of another model.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(f"{path}: no such file; expected the ICT face model as .npz with {', '.join(KEYS)}")
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in KEYS}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise FormatError(f"{path}: no ICT face model ({' '.join(str(error).split())}); expected a .npz with "
                          f"{', '.join(KEYS)}") from error
    names, shape = [str(name) for name in data["names"]], data["neutral"].shape
    if shape != (VERTICES, 3) or data["delta"].shape != (len(names), *shape) or len(data["faces"]) != len(data["faces_uv"]):
        raise FormatError(f"{path}: {shape[0]} vertices and shapes {data['delta'].shape}, expected {VERTICES} vertices and "
                          f"({len(names)}, {VERTICES}, 3): the full ICT-FaceKit topology")
    known = np.array([name.startswith("identity") for name in names])
    expression = {name: data["delta"][n] for n, name in enumerate(names) if not known[n]}
    quads = np.stack([data["faces"], data["faces_uv"]], axis=2)
    whole = (data["faces"][:, 3] >= 0) & (data["faces_uv"][:, 3] >= 0)
    corners = np.concatenate([quads[:, :3], quads[whole][:, [0, 2, 3]]]).astype(np.int32)
    if corners.min() < 0 or (corners.reshape(-1, 2).max(0) >= [VERTICES, len(data["uv"])]).any():
        raise FormatError(f"{path}: faces name vertices or texture coordinates that do not exist")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return IctFace(
        data["neutral"].astype(float), data["delta"][known], expression, corners, data["uv"].astype(float), digest
    )
