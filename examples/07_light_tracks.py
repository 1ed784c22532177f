"""A red light comes in from the left while the room turns: light written down as key frames.

    python examples/07_light_tracks.py [FOLDER]

Makes FOLDER/07_light_tracks.mp4 and FOLDER/07_light_tracks.png; `olatkit render --track` does the first.
"""

import sys
from pathlib import Path

import numpy as np

import olatkit
from olatkit.io.images import write_exr, write_png
from olatkit.jobs.lightings import MapSource, read_track
from olatkit.jobs.render import RenderConfig, render_take
from olatkit.render.compose import beside_balls
from olatkit.render.lighting_ball import LightingBall
from olatkit.render.mixer import MapMixer
from olatkit.render.pictures import contact_sheet, to_display

TRACK = """
duration_s: 2
maps:
  - {map: 07_room.exr, luminance: 0.5}          # scaled to this mean luminance
rotation:
  - {at_s: 0, yaw_deg: 0}
  - {at_s: 2, yaw_deg: 90}
lamps:
  - name: red light from the left
    keys:                                       # what a key leaves out is as in the key before
      - {at_s: 0.3, yaw_deg: -150, elevation_deg: 15, size_deg: 25, color: "#ff2010", intensity: 0}
      - {at_s: 1.6, yaw_deg: -70, intensity: 1}
"""

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
take = olatkit.open_take(folder / "take.olat.h5")

# A dim blue room, brighter above and on one side, with one window at the camera's right.
shade = np.linspace(1.5, 0.5, 32)[:, None] * np.linspace(0.8, 1.2, 64)
radiance = (shade[..., None] * [0.2, 0.25, 0.35]).astype(np.float32)
radiance[8:17, 50:60] = (9, 9, 8)
write_exr(folder / "07_room.exr", radiance, overwrite=True)
(folder / "07_light.yaml").write_text(TRACK, encoding="utf-8")

track = read_track(folder / "07_light.yaml", lambda path: MapSource.of(olatkit.read_environment(path)))
film = folder / "07_light_tracks.mp4"
report = render_take(take, [track], film, RenderConfig(ball=True), overwrite=True)

# Six instants of it, by hand: the light of a time, its weights, the sum, and balls in the same light.
mixer = MapMixer(lambda key: track.sources[0].load(), take.rig)
lights = [track.at(picture, fps=25) for picture in range(4, 50, 9)]
images = olatkit.relight(take[0], np.stack([mixer.weights(light) for light in lights]))
ball, exposure = LightingBall(images.shape[1] // 2), report.exposures["07_light"]
balls = [olatkit.EnvironmentMap(mixer.small_map(light).radiance * np.float32(0.5 / exposure)) for light in lights]
shown = [to_display(beside_balls(image, ball, env), exposure) for image, env in zip(images, balls, strict=True)]
write_png(folder / "07_light_tracks.png", contact_sheet(shown, 3), overwrite=True)
print(film, folder / "07_light_tracks.png", sep="\n")
