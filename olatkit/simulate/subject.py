"""A moving head with exact answers: radiance under any light, normals, labels, coverage and flow at any time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from olatkit.errors import ConfigError
from olatkit.simulate import raster
from olatkit.simulate.identity import Identity, make_identity
from olatkit.simulate.model import Model, build_model
from olatkit.simulate.pose import Motion, Pose, move_points
from olatkit.simulate.renderer import CpuRenderer, View

if TYPE_CHECKING:
    from olatkit.simulate.renderer_torch import TorchRenderer

# The orthographic camera sees FIELD_M metres of height around CENTRE_M.
FIELD_M = 0.36
CENTRE_M = (0.0, -0.027)

class Subject:
    """A simulated person in front of an orthographic camera that looks along -Z.

    Parameters
    ----------
    seed : int
        Identity and motion; the same seed is the same person.
    size : tuple of int
        Picture (height, width) in pixels.
    speed_px : float
        Peak image speed of the head's surface from head motion [px/s]: the largest 95th percentile over the
        visible surface within ten seconds. Expression comes on top.
    expression : float
        Scale of expression and blinking, 0 for a face at rest.
    supersample : int
        Samples per pixel and axis.
    device : str
        'cpu' runs compiled kernels; a torch device such as 'cuda' runs the same arithmetic in torch, 'torch:cpu'
        in torch on the CPU.

    Raises
    ------
    ConfigError
        A negative speed or expression, or a torch device that is not there.
    """

    def __init__(
        self, seed: int, size: tuple[int, int] = (256, 256), *, speed_px: float = 60.0, expression: float = 1.0,
        supersample: int = 2, device: str = "cpu",
    ) -> None:
        if speed_px < 0 or expression < 0:
            raise ConfigError(f"speed_px is {speed_px} and expression {expression}, expected both >= 0")
        if device != "cpu":
            _check_device(device)  # before the mesh, which takes seconds
        self.seed, self.size, self.supersample = seed, size, supersample
        self.identity: Identity = make_identity(seed)
        self.pitch_m = FIELD_M / size[0]
        self.model: Model = self._build_model()
        shadow_size = int(np.clip(2 * size[0], 384, 2048))
        self._renderer = make_renderer(self.model, shadow_size, device)
        self.motion = Motion(seed, expression=expression)
        self.motion = Motion(seed, amplitude=self._amplitude(speed_px), expression=expression)

    def _build_model(self) -> Model:
        """Mesh and paint of the person, from seed, size and identity."""
        return build_model(self.identity, height=self.size[0], supersample=self.supersample)

    @property
    def description(self) -> dict[str, object]:
        """Who is filmed and how they move, for attributes of files; no paths, nothing of the machine."""
        return {"subject": "built-in head", "subject_seed": self.seed, "amplitude": self.motion.amplitude,
                "expression": self.motion.expression}

    def _amplitude(self, speed_px: float) -> float:
        """Motion amplitude at which the head reaches the wanted peak image speed."""
        if speed_px == 0:
            return 0.0
        step = 0.004
        times = np.arange(0, 10, 0.05)
        rest = self._front_points()
        amplitude = 1.0
        for _ in range(3):
            motion = Motion(self.seed, amplitude=amplitude, expression=0.0)
            peak = 0.0
            for t in times:
                a, b = (motion(t + dt).apply(rest)[:, :2] for dt in (-step / 2, step / 2))
                peak = max(peak, float(np.percentile(np.linalg.norm(b - a, axis=1), 95)) / step / self.pitch_m)
            amplitude *= speed_px / peak
        return amplitude

    def _front_points(self) -> np.ndarray:
        """Some rest points (V, 3) of the head's side that the camera sees."""
        shown = (self.model.weights.head > 0.99) & (self.model.points[:, 2] > 0.0)
        return self.model.points[shown][::7]

    def pose(self, time_s: float) -> Pose:
        """Pose and expression at a time."""
        return self.motion(time_s)

    def view(self, time_s: float, *, supersample: int | None = None) -> View:
        """Trace the surface under every sample of the picture at a time."""
        ss = self.supersample if supersample is None else supersample
        pose = self.pose(time_s)
        vertices = self._world_points(time_s, pose)
        points = self._project(vertices, ss)
        return self._renderer.trace(vertices, points, pose.rotation, (self.size[0] * ss, self.size[1] * ss), ss)

    def _world_points(self, time_s: float, pose: Pose) -> np.ndarray:
        """Vertices (V, 3) float32 in world at a time, in the pose of that time."""
        m = self.model
        return move_points(m.points, m.weights, m.features, pose)

    def _project(self, vertices: np.ndarray, supersample: int) -> np.ndarray:
        """World points to x, y [samples] and depth [m]."""
        height, width = self.size
        scale = supersample / self.pitch_m
        x = (vertices[:, 0] - CENTRE_M[0]) * scale + (width * supersample - 1) / 2
        y = (height * supersample - 1) / 2 - (vertices[:, 1] - CENTRE_M[1]) * scale
        return np.stack([x, y, vertices[:, 2]], 1).astype(np.float32)

    def relight(self, view: View, directions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Radiance under several lights at once, the weighted sum of their single-light images.

        Parameters
        ----------
        view : View
            From :meth:`view`.
        directions : ndarray, shape (K, 3)
            Unit vectors to distant lights.
        weights : ndarray, shape (K, 3)
            Irradiance of each light on a surface that faces it, per channel.

        Returns
        -------
        ndarray, shape (H, W, 3), float32
            Linear radiance; a white Lambertian surface that faces a light of weight 1 shows 1/π.
        """
        return self._renderer.relight(view, np.asarray(directions), np.asarray(weights))

    def olat(self, view: View, directions: np.ndarray) -> np.ndarray:
        """Radiance under each light alone at unit irradiance, shape (L, H, W, 3) float32."""
        return self._renderer.olat(view, np.asarray(directions))

    def alpha(self, time_s: float) -> np.ndarray:
        """Share of each pixel that the subject covers, (H, W) float32, in sixteenths."""
        face = self.view(time_s, supersample=4).face >= 0
        height, width = self.size
        return face.reshape(height, 4, width, 4).mean((1, 3), dtype=np.float32)

    def normals(self, time_s: float) -> np.ndarray:
        """Unit shading normal under each pixel centre, (H, W, 3) float32, 0 outside."""
        view = self.view(time_s, supersample=1)
        out = np.zeros((self.size[0] * self.size[1], 3), np.float32)
        out[view.index] = view.table[:, raster.NORMAL]
        return out.reshape(*self.size, 3)

    def labels(self, time_s: float) -> np.ndarray:
        """Class of the surface under each pixel centre, (H, W) uint8; see :data:`olatkit.simulate.texture.LABELS`."""
        m, view = self.model, self.view(time_s, supersample=1)
        y, x = np.divmod(view.index, self.size[1])
        weights, corners = self._corners(view, y, x)
        uv = np.einsum("nk,nkd->nd", weights, m.uv[corners])
        column, row = np.round(uv).astype(int).T
        out = np.zeros(self.size, np.uint8)
        out[y, x] = m.label[row, column]
        return out

    def flow(self, time0_s: float, time1_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Exact motion of the surface from one time to another.

        Returns
        -------
        flow : ndarray, shape (H, W, 2), float32
            (dx, dy) on the grid of the first time: pixel x is found at x + flow at the second time. 0 outside.
        hidden : ndarray of bool, shape (H, W)
            The point is covered by something nearer at the second time, or has left the picture.
        """
        view0, view1 = (self.view(t, supersample=1) for t in (time0_s, time1_s))
        y, x = np.divmod(view0.index, self.size[1])
        weights, corners = self._corners(view0, y, x)
        target = np.einsum("nk,nkd->nd", weights, view1.points[corners])
        flow = np.zeros((*self.size, 2), np.float32)
        flow[y, x] = target[:, :2] - np.stack([x, y], 1)
        hidden = np.zeros(self.size, bool)
        column, row = np.round(target[:, :2]).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < self.size[1]) & (row < self.size[0])
        nearest = view1.depth[np.clip(row, 0, self.size[0] - 1), np.clip(column, 0, self.size[1] - 1)]
        front = np.where(inside, nearest, np.inf)
        # Half a pixel on a steep surface changes its depth by a few pixel pitches.
        hidden[y, x] = front > target[:, 2] + 4 * self.pitch_m
        return flow, hidden

    def _corners(self, view: View, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Barycentric weights (N, 3) and vertices (N, 3) under covered samples."""
        corners = self.model.faces[view.face[y, x]]
        p = view.points[corners].astype(np.float64)
        b, c, q = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0], np.stack([x, y], 1) - p[:, 0, :2]
        area = b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]
        wb = (q[:, 0] * c[:, 1] - q[:, 1] * c[:, 0]) / area
        wc = (b[:, 0] * q[:, 1] - b[:, 1] * q[:, 0]) / area
        return np.stack([1 - wb - wc, wb, wc], 1), corners


def _check_device(device: str) -> None:
    """Refuse a torch device that is not there."""
    import torch

    with _named(device):
        torch.empty(0, device=device.removeprefix("torch:"))


@contextmanager
def _named(device: str) -> Iterator[None]:
    """Turn what torch says of a device that cannot be used into one line that names it."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device '{device}' cannot be used: {reason}; expected cpu, or a torch device") from error


def make_renderer(model: Model, shadow_size: int, device: str) -> "CpuRenderer | TorchRenderer":
    """The renderer of a device."""
    if device == "cpu":
        return CpuRenderer(model, shadow_size)
    from olatkit.simulate.renderer_torch import TorchRenderer

    with _named(device):
        return TorchRenderer(model, shadow_size, device.removeprefix("torch:"))
