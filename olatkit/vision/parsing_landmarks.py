"""placeholder"""
from olatkit.errors import FormatError
from olatkit.model_files import MODELS, find_model


def missing_for_landmarks(folder: str | None) -> str | None:
    """What the backend lacks, in words; None if all is there."""
    return "not written yet"


class LandmarkParser:
    name = "landmarks"
