"""The pictures of a mesh that Mitsuba 3 renders itself, beside those of :class:`olatkit.simulate.mesh.MeshSubject`.

Same mesh, camera, texture and lights; nothing of the package's rasteriser or shading. Surfaces are diffuse, so a subject
to compare with has ``gloss=0`` and ``speed_px=0``.
"""

import mitsuba as mi
import numpy as np

from olatkit.simulate.mesh import MeshSubject
from olatkit.simulate.raytrace import choose_variant
from olatkit.simulate.subject import CENTRE_M, FIELD_M

INTEGRATORS = {
    "direct": {"type": "direct", "emitter_samples": 1, "bsdf_samples": 0},
    "path": {"type": "path", "max_depth": 3},  # light from surface to surface once
}


class MitsubaReference:
    """Renders a subject at rest under one distant light at a time.

    Parameters
    ----------
    subject : MeshSubject
        Whose mesh and texture are used.
    integrator : str
        A key of ``INTEGRATORS``.
    samples : int
        Samples per pixel.
    """

    def __init__(self, subject: MeshSubject, integrator: str, samples: int) -> None:
        mi.set_variant(choose_variant())
        model, (height, width) = subject.model, subject.size
        mesh = mi.Mesh("mesh", len(model.points), len(model.faces), has_vertex_normals=True, has_vertex_texcoords=True)
        albedo = np.ascontiguousarray(model.surface[..., :3])
        parameters = mi.traverse(mesh)
        parameters["vertex_positions"] = model.points.astype(np.float32).ravel()
        parameters["faces"] = model.faces.astype(np.uint32).ravel()
        parameters["vertex_normals"] = subject.rest_normals.astype(np.float32).ravel()
        texels = (model.uv + 0.5) / [albedo.shape[1], albedo.shape[0]]
        parameters["vertex_texcoords"] = texels.astype(np.float32).ravel()
        parameters.update()
        mesh.set_bsdf(mi.load_dict({
            "type": "twosided",
            "inner": {
                "type": "diffuse",
                "reflectance": {
                    "type": "bitmap", "data": mi.TensorXf(albedo), "raw": True, "filter_type": "bilinear",
                    "wrap_mode": "clamp",
                },
            },
        }))
        place = mi.ScalarTransform4f()
        camera = place.look_at(origin=[*CENTRE_M, 2], target=[*CENTRE_M, 0], up=[0, 1, 0])
        half = FIELD_M / 2 * width / height
        self._scene = mi.load_dict({
            "type": "scene", "integrator": dict(INTEGRATORS[integrator]), "mesh": mesh,
            "light": {"type": "directional", "direction": [0, 0, -1], "irradiance": {"type": "rgb", "value": 1.0}},
            "sensor": {
                "type": "orthographic", "to_world": camera @ place.scale([half, half, 1]),
                "film": {
                    "type": "hdrfilm", "width": width, "height": height, "rfilter": {"type": "box"},
                    "component_format": "float32",
                },
                "sampler": {"type": "multijitter", "sample_count": samples},
            },
        })
        self._parameters = mi.traverse(self._scene)

    def render(self, direction: np.ndarray, seed: int = 0) -> np.ndarray:
        """Radiance (H, W, 3) under a light of unit irradiance in a direction (3,)."""
        up = [0, 1, 0] if abs(direction[1]) < 0.9 else [0, 0, 1]
        towards = [-float(value) for value in direction]
        self._parameters["light.to_world"] = mi.Transform4f().look_at(origin=[0, 0, 0], target=towards, up=up)
        self._parameters.update()
        return np.array(mi.render(self._scene, seed=seed))
