"""Motion: head pose and expression over time, and how they move the points of the rest shape."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from olatkit.simulate.shape import EYE_RADIUS, EYE_Y, EYE_Z, JAW_HINGE, MOUTH_Y, Features
from olatkit.simulate.texture import mouth_gap, smoothstep

# The head turns about a point in the neck [m].
PIVOT = np.array([0.0, -0.085, -0.025])


@dataclass(frozen=True)
class Pose:
    """State of the subject at one instant.

    Angles in degrees: ``yaw`` (positive turns the face to +X), ``pitch`` (positive looks down), ``roll``; ``shift``
    in metres. Expression in 0..1: ``jaw`` open, ``smile`` (-0.5..1), ``brow`` raised (-0.5..1), ``blink`` closed;
    gaze angles in degrees.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    jaw: float = 0.0
    smile: float = 0.0
    brow: float = 0.0
    blink: float = 0.0
    gaze_yaw: float = 0.0
    gaze_pitch: float = 0.0

    @property
    def rotation(self) -> np.ndarray:
        """Head to world, shape (3, 3): R_y(yaw) R_x(pitch) R_z(roll)."""
        return rotation_matrix(self.yaw, self.pitch, self.roll)

    @property
    def matrix(self) -> np.ndarray:
        """Rest position of the head [m] to world, shape (4, 4)."""
        out = np.eye(4)
        out[:3, :3] = self.rotation
        out[:3, 3] = PIVOT - self.rotation @ PIVOT + np.array(self.shift)
        return out

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Rest points (V, 3) that follow the head rigidly, in world."""
        return (points - PIVOT) @ self.rotation.T + PIVOT + np.array(self.shift)


def rotation_matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """R_y(yaw) R_x(pitch) R_z(roll), angles in degrees, shape (3, 3)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians([yaw, pitch, roll])), np.sin(np.radians([yaw, pitch, roll]))
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rx = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    rz = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return ry @ rx @ rz


class Motion:
    """Smooth random pose and expression, sums of sines drawn from a seed.

    Parameters
    ----------
    seed : int
        Another seed moves another way.
    amplitude : float
        Scale of the head's rotation and translation; 1 turns by about 6 degrees. 0 keeps the head still.
    expression : float
        Scale of expression and blinking; 0 keeps the face at rest.
    """

    def __init__(self, seed: int, *, amplitude: float = 1.0, expression: float = 1.0) -> None:
        rng = np.random.default_rng([seed, 2])
        self.amplitude, self.expression = amplitude, expression
        # Rows: yaw, pitch, roll, x, y, z, jaw, smile, brow, gaze yaw, gaze pitch; columns: three sines.
        self._frequency = rng.uniform([0.7, 1.1, 1.7], [1.1, 1.7, 2.6], (11, 3))
        self._frequency[6] *= 1.8
        self._phase = rng.uniform(0, 2 * np.pi, (11, 3))
        self._weight = np.array([0.62, 0.28, 0.10]) * rng.uniform(0.7, 1.3, (11, 3))
        self._blinks = rng.uniform(0, 2 * np.pi)
        self._scale = np.array([5.5, 2.6, 1.6, 0.004, 0.0025, 0.003])

    def __call__(self, time_s: float) -> Pose:
        """The pose at a time in seconds."""
        wave = (self._weight * np.sin(2 * np.pi * self._frequency * time_s + self._phase)).sum(1)
        rigid = self.amplitude * self._scale * wave[:6]
        e = self.expression
        # A blink of about 0.2 s every 1.3 s.
        closing = np.cos(2 * np.pi * time_s / 1.3 + self._blinks)
        blink = smoothstep(0.86, 0.985, np.asarray(closing))
        return Pose(
            float(rigid[0]), float(rigid[1]), float(rigid[2]), (float(rigid[3]), float(rigid[4]), float(rigid[5])),
            jaw=float(e * np.clip(0.25 + 0.55 * wave[6], 0, 1)), smile=float(e * np.clip(0.3 + 0.6 * wave[7], -0.3, 1)),
            brow=float(e * np.clip(0.1 + 0.6 * wave[8], -0.4, 1)), blink=float(e * blink),
            gaze_yaw=float(e * 9 * wave[9]), gaze_pitch=float(e * 4 * wave[10]),
        )


@dataclass(frozen=True)
class Weights:
    """How each point follows the pose: all arrays (V,) or (V, 3), float32.

    ``head`` 1 moves with the head and 0 stays with the shoulders; ``jaw`` opens with the jaw; ``lid`` is the angle
    [rad] by which a point turns about its eye when the eye closes and ``draw`` the relative change of its distance from
    the eye's axis; ``ball`` is 1 on an eyeball; ``smile``, ``brow``, ``rest`` are offsets [m].
    """

    head: np.ndarray
    jaw: np.ndarray
    lid: np.ndarray
    draw: np.ndarray
    ball: np.ndarray
    smile: np.ndarray
    brow: np.ndarray
    rest: np.ndarray


def head_weights(points: np.ndarray, f: Features) -> Weights:
    """Weights of points (V, 3) of the head's skin."""
    x, y, z = points.T
    front = smoothstep(0.0, 0.035, z)
    line, half = f.mouth_line(x), np.maximum(mouth_gap(x, f), 0.0005)
    # Across the slit the lower lip follows the jaw and the upper does not; outside the mouth the step becomes soft.
    outside = smoothstep(0.8 * f.mouth_half_width, 0.050, np.abs(x))
    width = half + 0.040 * outside
    jaw = smoothstep(-1.0, 1.0, (line - 0.016 * outside - y) / width) * smoothstep(-0.025, 0.020, z)
    # The rest shape leaves a slit between the lips for the cut-out; bring its edges together.
    gap = np.maximum(mouth_gap(x, f), 0)
    fade = np.exp(-((np.maximum(np.abs(y - line) - gap, 0) / 0.006) ** 2)) * front
    close = np.clip((y - line) / np.maximum(gap, 1e-6), -1, 1) * gap * fade
    rest = np.stack([np.zeros_like(close), -close, np.zeros_like(close)], 1)
    corner = np.exp(-(((np.abs(x) - 1.05 * f.mouth_half_width) / 0.013) ** 2) - ((y - MOUTH_Y) / 0.014) ** 2) * front
    cheek = np.exp(-(((np.abs(x) - 0.040) / 0.016) ** 2) - ((y + 0.026) / 0.016) ** 2) * front
    aside, lift = 0.0060 * corner + 0.0010 * cheek, 0.0058 * corner + 0.0030 * cheek
    smile = np.stack([np.sign(x) * aside, lift, 0.0028 * cheek - 0.0035 * corner], 1)
    raised = np.exp(-(((np.abs(x) - 0.028) / 0.022) ** 2) - ((y - 0.042) / 0.016) ** 2) * front
    brow = np.stack([0 * raised, 0.0065 * raised, 0 * raised], 1)
    return Weights(np.ones_like(x), jaw, *_lid_motion(points, f), np.zeros_like(x), smile, brow, rest)


def _lid_motion(points: np.ndarray, f: Features) -> tuple[np.ndarray, np.ndarray]:
    """Angle about the eye's horizontal axis by which the upper lid comes down to the lower one, and the draw inward."""
    x, y, z = points.T
    low, high = f.lid_heights(x)
    reach = np.maximum(z - EYE_Z, 0.004)

    def elevation(height: np.ndarray) -> np.ndarray:
        return np.arctan2(height, np.sqrt(np.maximum((EYE_RADIUS * 1.08) ** 2 - (np.abs(x) - f.eye_x) ** 2, 1e-5)))

    here = np.arctan2(y - EYE_Y, reach)
    low_angle, high_angle = elevation(low), elevation(high)
    travel = np.maximum(high_angle - low_angle, 0)
    # The skin above the rim stretches; the brow stays.
    above = smoothstep(0.40, 0.0, here - high_angle)
    part = np.where(here > high_angle, above, np.clip((here - low_angle) / np.maximum(travel, 1e-3), 0, 1))
    beside = np.abs(np.abs(x) - f.eye_x) < 1.3 * f.eye_half_width
    part = np.where((z > 0.03) & beside, part, 0.0)
    # Skin from under the brow stands off the eyeball; closing lays it on.
    distance = np.hypot(y - EYE_Y, z - EYE_Z)
    resting = np.sqrt(np.maximum((EYE_RADIUS + 0.0010) ** 2 - (np.abs(x) - f.eye_x) ** 2, 1e-5))
    draw = part * np.minimum(resting / np.maximum(distance, 1e-4) - 1, 0) * (travel > 0)
    return travel * part, draw


def rigid_weights(
    points: np.ndarray, head: float | np.ndarray = 1.0, *, jaw: float | np.ndarray = 0.0, ball: float = 0.0
) -> Weights:
    """Weights of a part without expression of its own."""
    n, none = len(points), np.zeros((len(points), 3))
    return Weights(np.full(n, head), np.full(n, jaw), np.zeros(n), np.zeros(n), np.full(n, ball), none, none, none)


def move_points(points: np.ndarray, weights: Weights, f: Features, pose: Pose) -> np.ndarray:
    """World positions (V, 3) float32 of rest ``points`` in a pose; smooth in the pose."""
    gaze = rotation_matrix(pose.gaze_yaw, pose.gaze_pitch, 0.0)
    expression = np.array([pose.smile, pose.brow, pose.blink, np.radians(15.0) * pose.jaw])
    rigid = pose.matrix
    w = weights
    return _move(
        points, w.head, w.jaw, w.lid, w.draw, w.ball, w.smile, w.brow, w.rest, f.eye_x, expression, gaze, rigid
    )


@njit(nogil=True, cache=True)
def _move(points, head, jaw, lid, draw, ball, smile, brow, rest, eye_x, expression, gaze, rigid):
    """Expression in rest pose, then the head's rotation, of which points of the neck take a share."""
    out = np.empty(points.shape, np.float32)
    for n in range(len(points)):
        x = points[n, 0] + rest[n, 0] + expression[0] * smile[n, 0] + expression[1] * brow[n, 0]
        y = points[n, 1] + rest[n, 1] + expression[0] * smile[n, 1] + expression[1] * brow[n, 1]
        z = points[n, 2] + rest[n, 2] + expression[0] * smile[n, 2] + expression[1] * brow[n, 2]
        if lid[n] != 0:
            angle = expression[2] * lid[n]
            near = 1 + expression[2] * draw[n]
            c, s = near * math.cos(angle), near * math.sin(angle)
            dy, dz = y - EYE_Y, z - EYE_Z
            y, z = EYE_Y + c * dy - s * dz, EYE_Z + s * dy + c * dz
        if ball[n] != 0:
            dx, dy, dz = x - math.copysign(eye_x, x), y - EYE_Y, z - EYE_Z
            x += gaze[0, 0] * dx + gaze[0, 1] * dy + gaze[0, 2] * dz - dx
            y += gaze[1, 0] * dx + gaze[1, 1] * dy + gaze[1, 2] * dz - dy
            z += gaze[2, 0] * dx + gaze[2, 1] * dy + gaze[2, 2] * dz - dz
        if jaw[n] != 0:
            angle = expression[3] * jaw[n]
            c, s = math.cos(angle), math.sin(angle)
            dy, dz = y - JAW_HINGE[1], z - JAW_HINGE[2]
            y, z = JAW_HINGE[1] + c * dy - s * dz, JAW_HINGE[2] + s * dy + c * dz
        w = head[n]
        for k in range(3):
            target = rigid[k, 0] * x + rigid[k, 1] * y + rigid[k, 2] * z + rigid[k, 3]
            here = x if k == 0 else y if k == 1 else z
            out[n, k] = here + w * (target - here)
    return out
