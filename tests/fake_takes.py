"""Takes and maps in memory, for the tests of rendering."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.imageset import Imageset
from olatkit.jobs.lightings import Lighting, MapSource, standing_maps
from olatkit.jobs.shots import RenderConfig
from olatkit.render.relight import relight
from olatkit.render.weights import light_weights
from olatkit.rig import LightRig, default_rig

SIZE = 24


@dataclass
class FakeTake:
    """Imagesets in memory, counting how often each is read."""

    imagesets: list[Imageset]
    rig: LightRig
    reads: int = 0

    def __len__(self) -> int:
        return len(self.imagesets)

    def __getitem__(self, index: int) -> Imageset:
        self.reads += 1
        return self.imagesets[index]


def make_take(count: int = 3, lights: int = 20, light: float = 0.01) -> FakeTake:
    rig = default_rig(lights)
    rng = np.random.default_rng(0)
    imagesets = []
    for i in range(count):
        radiance = np.zeros((lights, SIZE, SIZE, 3), np.float32)
        radiance[:, 4:20, 4 + i : 20] = rng.random((lights, 16, 16 - i, 3)) * light
        imagesets.append(Imageset(radiance, radiance.sum(axis=0), i / 25, np.zeros(lights, np.uint8)))
    return FakeTake(imagesets, rig)


def make_map(name: str = "sky", seed: int = 0, scale: float = 1.0) -> EnvironmentMap:
    radiance = np.random.default_rng(seed).exponential(scale, (32, 64, 3)).astype(np.float32)
    return EnvironmentMap(radiance, name)


def lightings(*names: str) -> list[Lighting]:
    return standing_maps([MapSource.of(make_map(name)) for name in names])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_video(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def known(take: FakeTake, kappa: float = 1.0) -> FakeTake:
    take.kappa = kappa  # type: ignore[attr-defined]
    return take


def exr(**given) -> RenderConfig:
    return RenderConfig(formats=("exr",), **given)


def linear(take: FakeTake, index: int, environment: EnvironmentMap) -> np.ndarray:
    return relight(take.imagesets[index], light_weights(environment.downsample(16, 16), take.rig))


def bright_take(count: int = 2) -> FakeTake:
    """A bright square before black, of which a matte can be found."""
    take = known(make_take(count), 2.0)
    for imageset in take.imagesets:
        imageset.radiance[:] = 0
        imageset.radiance[:, 6:18, 6:18] = 0.05
    return take
