"""The renderer of :mod:`olatkit.simulate.renderer` in torch, for a GPU: same arithmetic, many lights at once.

Sums run in another order than on the CPU, so pictures agree to rounding, not to the byte; on one device they
repeat exactly.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from olatkit.simulate.model import Model
from olatkit.simulate.renderer import View, light_frame, shadow_offset

if TYPE_CHECKING:
    from torch import Tensor

# Shadow maps and candidate pixels of this many lights are held at a time.
_LIGHTS_AT_ONCE = 8


class TorchRenderer:
    """Rendering on a torch ``device`` such as 'cuda'; see :class:`~olatkit.simulate.renderer.CpuRenderer`."""

    def __init__(self, model: Model, shadow_size: int, device: str) -> None:
        import torch

        self._device, self._shadow_size = torch.device(device), shadow_size
        self._faces = self._put(model.faces).long()
        self._cutout = self._put(model.cutout)
        self._uv, self._cut, self._surface = (self._put(a) for a in (model.uv, model.cut, model.surface))
        self._weld = self._put(model.weld).long()

    def trace(
        self, vertices: np.ndarray, points: np.ndarray, rotation: np.ndarray, size: tuple[int, int], supersample: int
    ) -> View:
        """Find the surface under every sample of a grid of ``size`` samples; ``rotation`` (3, 3) is the head's."""
        import torch

        projected, placed = self._put(points), self._put(vertices)
        face, depth = self._rasterize(projected[None], *size, front_only=False)
        index = torch.nonzero(face.ravel() >= 0).ravel()
        corners = self._faces[face.ravel()[index]]
        y, x = index // size[1], index % size[1]
        weights = _barycentric(projected[corners], x.float(), y.float())
        normals = self._vertex_normals(placed)
        texel = _bilinear(self._surface, (weights[..., None] * self._uv[corners]).sum(1))
        position = (weights[..., None] * placed[corners]).sum(1)
        bump = texel[:, 5:8] @ self._put(rotation.astype(np.float32)).T
        normal = torch.nn.functional.normalize((weights[..., None] * normals[corners]).sum(1) + bump, dim=1, eps=1e-12)
        table = torch.cat([position, normal, texel[:, :5]], 1)
        return View(
            vertices, points, face[0].int().cpu().numpy(), depth[0].cpu().numpy(), index.int().cpu().numpy(),
            table.cpu().numpy(), supersample,
        )

    def relight(self, view: View, directions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Radiance (H, W, 3) under distant lights ``directions`` (K, 3) of irradiance ``weights`` (K, 3)."""
        import torch

        table, vertices = self._put(view.table), self._put(view.vertices)
        total = torch.zeros((len(table), 3), device=self._device)
        lit = np.flatnonzero(np.any(weights, axis=1))
        for first in range(0, len(lit), _LIGHTS_AT_ONCE):
            some = lit[first : first + _LIGHTS_AT_ONCE]
            radiance = self._shade(table, vertices, directions[some])
            total += torch.einsum("knc,kc->nc", radiance, self._put(weights[some].astype(np.float32)))
        return self._resolve(view, total[None])[0].cpu().numpy()

    def olat(self, view: View, directions: np.ndarray) -> np.ndarray:
        """Radiance (K, H, W, 3) under each light alone at unit irradiance."""
        table, vertices = self._put(view.table), self._put(view.vertices)
        images = [
            self._resolve(view, self._shade(table, vertices, directions[first : first + _LIGHTS_AT_ONCE])).cpu().numpy()
            for first in range(0, len(directions), _LIGHTS_AT_ONCE)
        ]
        return np.concatenate(images)

    def _put(self, array: np.ndarray) -> "Tensor":
        """An array on the device."""
        import torch

        return torch.as_tensor(np.ascontiguousarray(array), device=self._device)

    def _rasterize(self, points: "Tensor", height: int, width: int, *, front_only: bool) -> tuple["Tensor", "Tensor"]:
        """Nearest face and depth (K, height, width) of K projections ``points`` (K, V, 3)."""
        import torch

        corners = points[:, self._faces]
        low, high = corners[..., :2].amin(2), corners[..., :2].amax(2)
        limit = torch.tensor([width - 1, height - 1], device=self._device)
        first = low.clamp(min=0).ceil().long()
        last = torch.minimum(high.floor().long(), limit)
        seen = ((high >= 0) & (low <= limit)).all(-1, keepdim=True)
        span = (last - first + 1).clamp(min=0) * seen
        area = _cross(corners[:, :, 1, :2] - corners[:, :, 0, :2], corners[:, :, 2, :2] - corners[:, :, 0, :2])
        keep = area.abs() >= 1e-9
        if front_only:
            keep &= area <= 0
        counts = (span[..., 0] * span[..., 1] * keep).ravel()
        # Every pixel in the box around every triangle, as one flat list.
        owner = torch.repeat_interleave(torch.arange(len(counts), device=self._device), counts)
        within = torch.arange(len(owner), device=self._device) - (counts.cumsum(0) - counts)[owner]
        wide = span[..., 0].ravel()[owner]
        x = first[..., 0].ravel()[owner] + within % wide
        y = first[..., 1].ravel()[owner] + within // wide
        weights = _barycentric(corners.reshape(-1, 3, 3)[owner], x.float(), y.float())
        depth = (weights * corners.reshape(-1, 3, 3)[owner, :, 2]).sum(1)
        face = owner % len(self._faces)
        hit = (weights >= 0).all(1)
        ragged = torch.nonzero(hit & self._cutout[face]).ravel()
        uv = (weights[ragged, :, None] * self._uv[self._faces[face[ragged]]]).sum(1)
        hit[ragged] = _bilinear(self._cut[..., None], uv)[:, 0] < 0.5
        place = (owner // len(self._faces) * height + y) * width + x
        return self._nearest(place[hit], depth[hit], face[hit], (len(points), height, width))

    def _nearest(
        self, place: "Tensor", depth: "Tensor", face: "Tensor", shape: tuple[int, int, int]
    ) -> tuple["Tensor", "Tensor"]:
        """Largest depth per place, and the first face that has it."""
        import torch

        size = math.prod(shape)
        best = torch.full((size,), -math.inf, device=self._device)
        best.scatter_reduce_(0, place, depth, "amax")
        winner = depth == best[place]
        chosen = torch.full((size,), len(self._faces), device=self._device)
        chosen.scatter_reduce_(0, place[winner], face[winner], "amin")
        chosen[chosen == len(self._faces)] = -1
        return chosen.reshape(shape), best.reshape(shape)

    def _vertex_normals(self, vertices: "Tensor") -> "Tensor":
        """Area-weighted unit vertex normals, shared across seams; the sum runs in a fixed order."""
        import torch

        a, b, c = vertices[self._faces].unbind(1)
        normal = torch.linalg.cross(b - a, c - a)
        owner = self._weld[self._faces].ravel()
        order = torch.sort(owner, stable=True).indices
        counts = torch.bincount(owner, minlength=len(vertices))
        # Differences of a running sum in double precision replace atomic additions, whose order is not fixed.
        running = torch.cat([vertices.new_zeros(1, 3, dtype=torch.float64),
                             normal.repeat_interleave(3, 0)[order].double().cumsum(0)])
        ends = counts.cumsum(0)
        total = (running[ends] - running[ends - counts]).float()
        return torch.nn.functional.normalize(total, dim=1, eps=1e-20)[self._weld]

    def _shade(self, table: "Tensor", vertices: "Tensor", directions: np.ndarray) -> "Tensor":
        """Radiance (K, N, 3) of the samples under each light, as in :func:`olatkit.simulate.raster.shade`."""
        import torch

        n = self._shadow_size
        frames = self._put(np.stack([light_frame(d.astype(np.float32), n) for d in directions]))
        light = self._put(directions.astype(np.float32))
        seen = torch.einsum("kij,vj->kvi", frames[:, :, :3], vertices) + frames[:, None, :, 3]
        _, shadow = self._rasterize(seen, n, n, front_only=True)
        normal, albedo = table[:, 3:6], table[:, 6:9]
        cosine = (light @ normal.T).clamp(min=0)
        slide, bias = (float(v) for v in shadow_offset(n))
        place = table[:, :3] + slide * (1 - cosine[..., None] ** 2) * normal
        mapped = torch.einsum("kij,knj->kni", frames[:, :, :3], place) + frames[:, None, :, 3]
        lit = _shadow_share(shadow, mapped, bias)
        to_viewer = torch.tensor([0.0, 0.0, 1.0], device=self._device)
        half = torch.nn.functional.normalize(light + to_viewer, dim=1, eps=1e-6)
        specular = _specular(normal, cosine, half, table[:, 9], table[:, 10] ** 2)
        return (lit * cosine)[..., None] * (albedo / math.pi + specular[..., None])

    def _resolve(self, view: View, samples: "Tensor") -> "Tensor":
        """Mean of the samples of each pixel: (K, N, 3) to (K, H, W, 3)."""
        import torch

        height, width = view.face.shape
        s = view.supersample
        grid = torch.zeros((len(samples), height * width, 3), device=self._device)
        grid[:, self._put(view.index).long()] = samples
        return grid.reshape(-1, height // s, s, width // s, s, 3).mean((2, 4))


def _cross(a: "Tensor", b: "Tensor") -> "Tensor":
    """The z component of the cross product of (..., 2) vectors."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _barycentric(corners: "Tensor", x: "Tensor", y: "Tensor") -> "Tensor":
    """Weights (N, 3) of points x, y in triangles (N, 3, >= 2)."""
    import torch

    a, b, c = corners[..., :2].unbind(1)
    q = torch.stack([x, y], 1) - a
    inverse = 1 / _cross(b - a, c - a)
    wb, wc = _cross(q, c - a) * inverse, _cross(b - a, q) * inverse
    return torch.stack([1 - wb - wc, wb, wc], 1)


def _bilinear(image: "Tensor", uv: "Tensor") -> "Tensor":
    """Texels (N, C) of an image (H, W, C) at coordinates u, v (N, 2), clamped at its border."""
    height, width = image.shape[:2]
    u, v = uv[:, 0].clamp(0, width - 1), uv[:, 1].clamp(0, height - 1)
    j, i = u.long(), v.long()
    j1, i1 = (j + 1).clamp(max=width - 1), (i + 1).clamp(max=height - 1)
    fu, fv = (u - j)[:, None], (v - i)[:, None]
    top = (1 - fu) * image[i, j] + fu * image[i, j1]
    return (1 - fv) * top + fv * ((1 - fu) * image[i1, j] + fu * image[i1, j1])


def _shadow_share(shadow: "Tensor", mapped: "Tensor", bias: float) -> "Tensor":
    """Lit share (K, N) of samples at ``mapped`` (K, N, 3), from four depth tests each; 1 outside the map."""
    import torch

    n = shadow.shape[-1]
    u, v, depth = mapped[..., 0], mapped[..., 1], mapped[..., 2] + bias
    inside = (u >= 0) & (v >= 0) & (u < n - 1) & (v < n - 1)
    j, i = u.clamp(0, n - 2).long(), v.clamp(0, n - 2).long()
    fu, fv = u - j, v - i
    k = torch.arange(len(shadow), device=shadow.device)[:, None]
    test = [[(shadow[k, i + a, j + b] <= depth).float() for b in (0, 1)] for a in (0, 1)]
    lit = (1 - fv) * ((1 - fu) * test[0][0] + fu * test[0][1]) + fv * ((1 - fu) * test[1][0] + fu * test[1][1])
    return torch.where(inside, lit, torch.ones_like(lit))


def _specular(normal: "Tensor", cosine: "Tensor", half: "Tensor", strength: "Tensor", alpha: "Tensor") -> "Tensor":
    """GGX reflectance (K, N) for a viewer at +Z; ``half`` (K, 3), ``alpha`` (N,) the squared roughness."""
    nh = half @ normal.T
    view = normal[:, 2].clamp(min=0.05)
    a2 = alpha * alpha
    spread = nh * nh * (a2 - 1) + 1
    mask = cosine * (a2 + (1 - a2) * view * view).sqrt() + view * (a2 + (1 - a2) * cosine * cosine).sqrt()
    fresnel = strength * (0.04 + 0.96 * (1 - half[:, 2:].clamp(min=0)) ** 5)
    return (nh > 0) * a2 / (math.pi * spread * spread) * 0.5 / mask * fresnel
