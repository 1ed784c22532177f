"""An actor of the ICT face model: its identities and expressions, with painted skin, in place of the built-in head."""

import os
from functools import lru_cache

import numpy as np

from olatkit.errors import ConfigError
from olatkit.io.ict_face import IctFace, read_ict_face
from olatkit.simulate.ict_paint import paint
from olatkit.simulate.identity import Identity
from olatkit.simulate.model import Model
from olatkit.simulate.pose import Pose, move_points, rigid_weights
from olatkit.simulate.shape import EYE_Y, EYE_Z, head_features
from olatkit.simulate.subject import Subject

# The model's eyes [cm] come to where those of the built-in head are.
_EYES_CM = np.array([0.0, 3.6, 7.9])
# Standard deviation of the identity weights, of which 1 is that of the scanned people.
_SPREAD = 0.8
# Shapes that follow the built-in pose, and the value of the pose that drives them.
_DRIVEN = {
    "jawOpen": ("jaw", 0.7), "mouthSmile_L": ("smile", 0.9), "mouthSmile_R": ("smile", 0.9),
    "browInnerUp_L": ("brow", 0.8), "browInnerUp_R": ("brow", 0.8), "browOuterUp_L": ("brow", 0.8),
    "browOuterUp_R": ("brow", 0.8), "eyeBlink_L": ("blink", 1.0), "eyeBlink_R": ("blink", 1.0),
}
_EXTRAS, _EXTRA_WEIGHT = 5, 0.35


def make_subject(
    seed: int, size: tuple[int, int], *, speed_px: float, expression: float, device: str,
    face_model: str | os.PathLike[str] = "",
) -> Subject:
    """A person of the ICT face model in a file, or the built-in head without one."""
    if not face_model:
        return Subject(seed, size, speed_px=speed_px, expression=expression, device=device)
    return IctSubject(face_model, seed, size, speed_px=speed_px, expression=expression, device=device)


@lru_cache(maxsize=1)
def _face(path: str) -> IctFace:
    """The model, read once per process."""
    return read_ict_face(path)


class IctSubject(Subject):
    """A person drawn from the ICT face model; the same renderers, motion and exact answers as :class:`Subject`.

    Parameters
    ----------
    path : path
        See :mod:`olatkit.io.ict_face`.
    seed, size, speed_px, expression, supersample, device
        As for :class:`Subject`. The seed draws the identity weights, five expressions of its own beside jaw, smile, brows
        and lids, and skin, lips, iris and cropped hair, which are painted: the model brings no colours.

    Raises
    ------
    FormatError
        The file is no ICT face model.
    ConfigError
        A negative speed or expression, or a torch device that is not there.
    """

    def __init__(
        self, path: str | os.PathLike[str], seed: int, size: tuple[int, int] = (256, 256), *, speed_px: float = 60.0,
        expression: float = 1.0, supersample: int = 2, device: str = "cpu",
    ) -> None:
        self._path = str(path)
        super().__init__(
            seed, size, speed_px=speed_px, expression=expression, supersample=supersample, device=device
        )

    def _build_model(self) -> Model:
        """The person that the seed draws, and the shapes that move it."""
        face = _face(self._path)
        rng = np.random.default_rng([self.seed, 9])
        weights = _SPREAD * np.clip(rng.standard_normal(len(face.identity)), -2.5, 2.5)
        neutral = face.neutral + np.tensordot(weights, face.identity, axes=1)
        self._sha256 = face.sha256
        self._vertex, model = _make_model(face, neutral, self.identity)
        self._shapes = self._choose_shapes(face, rng)
        return model

    @property
    def description(self) -> dict[str, object]:
        """Who is filmed and how they move; see :attr:`Subject.description`."""
        return {**super().description, "subject": "ICT face model", "face_model_sha256": self._sha256}

    def _choose_shapes(self, face: IctFace, rng: np.random.Generator) -> np.ndarray:
        """Offsets (S, V, 3) [m] of the driven shapes and of some others, with the waves of the latter."""
        others = sorted(set(face.expression) - set(_DRIVEN))
        extras = [others[n] for n in rng.choice(len(others), _EXTRAS, replace=False)]
        self._frequency, self._phase = rng.uniform(0.5, 1.5, _EXTRAS), rng.uniform(0, 2 * np.pi, _EXTRAS)
        missing = [name for name in _DRIVEN if name not in face.expression]
        if missing:
            raise ConfigError(f"the face model has no shapes {', '.join(missing)}; expected those of ICT-FaceKit")
        shapes = [face.expression[name] for name in (*_DRIVEN, *extras)]
        return np.stack([shape[self._vertex] for shape in shapes]).astype(np.float32) / 100

    def _shape_weights(self, time_s: float, pose: Pose) -> np.ndarray:
        """Weight of every shape at a time, (S,)."""
        driven = [max(getattr(pose, name), 0.0) * share for name, share in _DRIVEN.values()]
        waves = np.sin(2 * np.pi * self._frequency * time_s + self._phase)
        return np.array([*driven, *(self.motion.expression * _EXTRA_WEIGHT * (0.5 + 0.5 * waves))], np.float32)

    def _world_points(self, time_s: float, pose: Pose) -> np.ndarray:
        """Vertices (V, 3) float32 in world: the expression of the moment, then the head's rotation."""
        m = self.model
        points = m.points + np.tensordot(self._shape_weights(time_s, pose), self._shapes, axes=1)
        return move_points(points, m.weights, m.features, pose)


def _make_model(face: IctFace, neutral_cm: np.ndarray, identity: Identity) -> tuple[np.ndarray, Model]:
    """Vertex of the face under every vertex of the mesh, and the mesh: those of seams and of paints are divided."""
    points = (neutral_cm - _EYES_CM) / 100 + np.array([0.0, EYE_Y, EYE_Z])
    painted = paint(face, points, identity)
    triangles, paints = face.corners[painted.used], painted.part
    keys = np.stack([triangles[..., 0], triangles[..., 1], np.repeat(paints[:, None], 3, 1)], axis=2).reshape(-1, 3)
    kept, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    vertex = kept[:, 0]
    # Vertices of one place share the normal of the first of them.
    _, leader, group = np.unique(vertex, return_index=True, return_inverse=True)
    rest = points[vertex]
    model = Model(
        rest, place.reshape(-1, 3).astype(np.int32), np.zeros(len(triangles), bool),
        painted.texel.reshape(-1, 2)[first].astype(np.float32), leader[group].astype(np.int32), rigid_weights(rest),
        head_features(identity), painted.surface, painted.label, np.zeros(painted.label.shape, np.float32),
    )
    return vertex, model
