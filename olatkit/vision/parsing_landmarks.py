"""Labels from the small public models: face points give the features, colours around them the large regions."""

import importlib.util
import logging

import numpy as np

from olatkit.errors import FormatError
from olatkit.model_files import MODELS, find_model
from olatkit.vision.face_models import FaceModels
from olatkit.vision.face_points import NOSE, OUTLINES, fill
from olatkit.vision.face_regions import REGIONS, FaceFrame, face_frame, region_likelihoods
from olatkit.vision.matting import alpha_matte
from olatkit.vision.parsing import CLASS, check_picture, foreground_labels
from olatkit.vision.region_matting import matte_regions

log = logging.getLogger(__name__)
# Longer side on which regions are settled; features are drawn at full size.
_SIDE = 256
# Hair reaches above this height of the face, and is at least this share of the person.
_HAIR_REACH, _MIN_HAIR = 0.9, 0.002
# Ears are at least this wide, relative to the side of a square as large as the face.
_MIN_EAR = 0.06
# Brows lower than this [px], with less contrast to the skin [8-bit levels], or whose dark part is a smaller share of
# the outline, are taken as outlined.
_MIN_BROW_PX, _MIN_BROW_CONTRAST, _MIN_BROW_SHARE = 4, 10, 0.4


class LandmarkParser:
    """Labels of skin, brows, eyes, ears, nose, mouth, lips, neck, cloth and hair.

    Glasses, jewellery and hats are not known: they get the label of what surrounds them.

    Parameters
    ----------
    folder : path, optional
        Where the models are; the user's cache by default.
    """

    name = "landmarks"

    def __init__(self, folder: str | None = None) -> None:
        self._models = FaceModels(folder)

    def parse(
        self, fully_lit_srgb: np.ndarray, foreground: np.ndarray | None, tick: int | None = None
    ) -> np.ndarray:
        """Labels (H, W) uint8 of a picture (H, W, 3) uint8 with one person.

        Without a foreground the person is found by the mask network and cut out by matting. Where no face is found,
        the whole subject is labelled 1 and a warning says so.
        """
        check_picture(fully_lit_srgb, foreground)
        coverage = self._find_person(fully_lit_srgb) if foreground is None else foreground
        points = self._models.face_points(fully_lit_srgb)
        if points is None:
            at = "" if tick is None else f" at tick {tick}"
            log.warning("no face was found in the picture%s: its subject is labelled as skin only", at)
            return foreground_labels(coverage)
        return compose_labels(fully_lit_srgb, coverage >= 0.5, points)

    def _find_person(self, image_srgb: np.ndarray) -> np.ndarray:
        """Coverage of the person, (H, W) float32."""
        mask = self._models.person_mask(image_srgb)
        return alpha_matte(image_srgb, np.where(mask > 0.95, 1.0, np.where(mask < 0.05, 0.0, 0.5)))


def missing_for_landmarks(folder: str | None) -> str | None:
    """What keeps the backend from working, in words, or None."""
    for package, remedy in (("ai_edge_litert", "'olatkit[labels]'"), ("pymatting", "pymatting")):
        if importlib.util.find_spec(package) is None:
            return f"{package.replace('_', '-')} is not installed; pip install {remedy}"
    try:
        for model in MODELS:
            find_model(model.name, folder)
    except FormatError as error:
        return str(error)
    return None


def compose_labels(image_srgb: np.ndarray, person: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Labels from a person's mask and the points of the face.

    Parameters
    ----------
    image_srgb : ndarray, shape (H, W, 3), uint8
        The picture.
    person : ndarray of bool, shape (H, W)
        Where the person is.
    points : ndarray, shape (468, 2)
        Points (x, y) [px] of the face.

    Returns
    -------
    ndarray, shape (H, W), uint8
        Classes of CelebAMask.
    """
    frame = face_frame(points, person.shape)
    regions = _settle_regions(image_srgb, person, points)
    labels = np.zeros(person.shape, np.uint8)
    for index, name in enumerate(REGIONS):
        labels[person & (regions == index)] = CLASS[name]
    _split_ears(labels, frame)
    # Hair that hangs over a feature hides it.
    bare = person & ~((labels == CLASS["hair"]) & (frame.up > 0.6))
    labels[fill(_hull(points[list(NOSE)]), person.shape) & bare] = CLASS["nose"]
    for name, outline in OUTLINES.items():
        inside = fill(points[list(outline)], person.shape)
        if name.startswith("brow"):
            inside = _dark_part(image_srgb, inside)
        labels[inside & bare] = CLASS[name]
    return labels


def _settle_regions(image_srgb: np.ndarray, person: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Index into REGIONS at every pixel, (H, W), settled at a smaller size."""
    import cv2

    height, width = person.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image_srgb, size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(person.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    ratio = np.array(size) / (width, height)
    frame = face_frame((points + 0.5) * ratio - 0.5, (size[1], size[0]))
    mattes = matte_regions(small, region_likelihoods(small, inside, frame), inside)
    _drop_loose_hair(mattes, inside, frame)
    planes = [cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR) for matte in mattes]
    return np.argmax(planes, axis=0)


def _drop_loose_hair(mattes: np.ndarray, inside: np.ndarray, frame: FaceFrame) -> None:
    """Take hair away that does not hang together with hair of the head, such as a dark collar; in place."""
    import cv2

    hair = REGIONS.index("hair")
    found = (inside & (np.argmax(mattes, axis=0) == hair)).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    for part in range(1, count):
        region = parts == part
        # Specks on the head are no hair either.
        if frame.up[region].max() < _HAIR_REACH or stats[part, cv2.CC_STAT_AREA] < _MIN_HAIR * inside.sum():
            mattes[hair, region] = 0


def _split_ears(labels: np.ndarray, frame: FaceFrame) -> None:
    """Skin beside the face, between mouth and brows, is an ear unless it is a mere strip; in place."""
    import cv2

    beside = (labels == CLASS["skin"]) & ~frame.oval & (frame.up > 0.2) & (frame.up < 0.9)
    width = max(1, int(_MIN_EAR * np.count_nonzero(frame.oval) ** 0.5))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    for name, side in (("ear_left", frame.across < -0.97), ("ear_right", frame.across > 0.97)):
        wide = cv2.morphologyEx((beside & side).astype(np.uint8), cv2.MORPH_OPEN, kernel)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
        if count > 1:
            labels[parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())] = CLASS[name]


def _dark_part(image_srgb: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """The hairs of a brow: what is darker than the skin above and below it, within its outline."""
    import cv2

    height = int(np.ptp(np.flatnonzero(outline.any(axis=1)))) + 1 if outline.any() else 0
    if height < _MIN_BROW_PX:
        return outline
    grey = cv2.GaussianBlur(image_srgb, (0, 0), 0.7).astype(np.float32).mean(axis=2)
    # Closing fills dark lines that are lower than the kernel: what it adds is how dark they are.
    depth = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((height | 1, 1), np.uint8)) - grey
    hair = float(np.percentile(depth[outline], 80))
    dark = outline & (depth > 0.4 * hair)
    # Fair brows that hardly differ from the skin, and brows under hair, keep their outline.
    return dark if hair > _MIN_BROW_CONTRAST and dark.sum() > _MIN_BROW_SHARE * outline.sum() else outline


def _hull(points: np.ndarray) -> np.ndarray:
    """Convex outline of points (N, 2)."""
    import cv2

    return cv2.convexHull(points.astype(np.float32))[:, 0]
