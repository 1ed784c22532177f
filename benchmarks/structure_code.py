"""What becomes of the structure code under the readings of Eq. 5: short trainings of `tiny` on simulated heads.

    python benchmarks/structure_code.py [--steps 200] [--subjects 6] [--folder KEEP] [--only NAME ...]

Each training has the same samples and initial weights; only the structure loss differs. Printed for held-out pictures
of the training subjects (one batch, no augmentation): `spread`, the variance of the code between them; `relit`, the mean
square difference between the codes of a picture and of the true picture of the same head under another light; `ratio`,
the second over the first: 2 if a code depends on nothing but the light, 0 if it does not depend on the light at all,
without a meaning where the spread is next to nothing; and `psnr` of the relit pictures.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from head_take import make_bank, make_take

from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.shard_plan import ShardConfig
from olatkit.learn.checkpoint import load_network
from olatkit.learn.config import TrainConfig
from olatkit.learn.dataset import ShardDataset
from olatkit.learn.distributed import join_ranks
from olatkit.learn.feeding import open_shards
from olatkit.learn.loader import ShardLoader
from olatkit.learn.measure import masked_rmse, psnr
from olatkit.learn.network import RelightingNetwork
from olatkit.learn.sample import Sample
from olatkit.learn.train import train

READINGS: dict[str, dict[str, object]] = {
    "off": {"structure": False},
    "as written": {},
    "first": {"latent_stop_gradient": "first"},
    "weight 0.01": {"weights": {"latent": 0.01}},
}


def make_shards(folder: Path, subjects: int, size: int) -> Path:
    """Shards of some simulated heads, three imagesets each."""
    takes = [folder / f"head{n}.olat.h5" for n in range(subjects)]
    for n, take in enumerate(takes):
        make_take(take, size, 3, seed=n + 1)
    config = ShardConfig.model_validate({
        "size": size, "matte": False, "labels": {"parsing": "foreground", "flow_preset": "medium"},
    })
    bank = make_bank(folder / "bank.h5")
    build_shards(takes, folder / "shards", config, bank=bank, overwrite=True)
    return folder / "shards"


def settings(losses: dict[str, object], steps: int, size: int) -> TrainConfig:
    """The laptop's settings, shorter."""
    return TrainConfig.model_validate({
        "variant": "tiny", "steps": steps, "stages": [{"size": size, "batch": 4, "share": 1}],
        "optimizer": {"learning_rate": 5e-4}, "average": 0.99, "losses": {"adversarial": False, **losses},
        "loader": {"workers": 0, "variants": 4, "crops": 2},
        "report": {"metrics_every": steps, "validation_pairs": 0, "checkpoint_every": steps, "pictures_every": steps,
                   "tensorboard": False},
    })


@torch.no_grad()
def look(network: RelightingNetwork, sample: Sample) -> tuple[float, float, float]:
    """Spread of the code between pictures, difference between its values under two lights, psnr [dB]."""
    source, target = sample.input_srgb[:, 0], sample.target_srgb[:, 0]
    code, other = network.encode(source).code, network.encode(target).code
    relit, _, _ = network(source, sample.target_light)
    error = psnr(masked_rmse(sample.mask[:, 0], relit, target)).mean()
    return float(code.var(dim=0).mean()), float((code - other).square().mean()), float(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=READINGS, default=list(READINGS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, join_ranks("cpu") as ranks:
        folder = given.folder or Path(temporary)
        shards = make_shards(folder, given.subjects, given.size)
        sample = next(iter(ShardLoader(ShardDataset(shards, None, maps="test", size=given.size), 2 * given.subjects)))
        torch.manual_seed(0)
        fresh = RelightingNetwork("tiny", parsing_channels=1).eval()
        print(f"{'reading of Eq. 5':<18} {'spread':>8} {'relit':>8} {'ratio':>6} {'psnr':>6}")
        for name in ["untrained", *given.only]:
            network = fresh
            if name != "untrained":
                config = settings(READINGS[name], given.steps, given.size)
                run = folder / f"run-{name.replace(' ', '-')}"
                network = load_network(train(config, open_shards(shards, config, ranks)[0], run, ranks, overwrite=True))
            spread, relit, decibels = look(network, sample)
            print(f"{name:<18} {spread:>8.4f} {relit:>8.4f} {relit / spread:>6.2f} {decibels:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
