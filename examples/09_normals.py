"""Measure the shape and the material of a subject: normals, albedo, occlusion, diffuse and specular parts.

    python examples/09_normals.py [FOLDER]

`olatkit normals` does this for any take; here the subject is simulated, so that the error is known. Makes
FOLDER/09_normals.png: normals, their error (white is 20 degrees), albedo; occlusion, diffuse part, specular part.
"""

import sys
from pathlib import Path

import numpy as np

from olatkit.color import to_srgb8
from olatkit.io.images import write_png
from olatkit.render.normals import fit_surface, split_reflection
from olatkit.render.pictures import contact_sheet
from olatkit.rig import default_rig
from olatkit.simulate.subject import Subject

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
rig, subject = default_rig(), Subject(1, (192, 192), speed_px=0)
olat = subject.olat(subject.view(0.0), rig.directions)
olat += np.random.default_rng(0).normal(0, 0.004 * 2 * np.percentile(olat, 99.5), olat.shape).astype(np.float32)
mask, truth = subject.alpha(0.0) == 1, subject.normals(0.0)

# Every pixel under 114 lights: those that see it in shadow or in a highlight are left out.
surface = fit_surface(olat, rig, mask=mask)
cosine = (surface.normals * truth).sum(axis=2).clip(-1, 1)
error_deg = np.where(mask, np.degrees(np.arccos(cosine)), 0)
print(f"error of the normals: mean {error_deg[mask].mean():.2f}, median {np.median(error_deg[mask]):.2f} degrees")

# Under a white sky the picture is the sum of both parts.
split = split_reflection(olat, rig, surface)
exposure = 0.25 / np.median(split.diffuse[mask])
grey = np.repeat(split.occlusion[..., None], 3, axis=2)
pictures = [
    np.round((surface.normals + 1) * 127.5).astype(np.uint8),
    np.repeat(np.round(error_deg.clip(0, 20) / 20 * 255)[..., None], 3, axis=2).astype(np.uint8),
    to_srgb8(surface.albedo * exposure * np.pi),
    np.round(grey * 255).astype(np.uint8),
    to_srgb8(split.diffuse * exposure),
    to_srgb8(split.specular * exposure),
]
write_png(folder / "09_normals.png", contact_sheet(pictures, 3), overwrite=True)
print(folder / "09_normals.png")
