"""The critic: layers, sizes, weight clipping, memory of past batches."""

import numpy as np
import pytest
import torch

from olatkit.learn.critic import Critic, CriticPasses, critic_widths
from olatkit.learn.describe import describe_critic
from olatkit.learn.memory import CriticMemory

WIDTHS = (8, 16, 24, 24)


def _critic() -> Critic:
    torch.manual_seed(0)
    return Critic(WIDTHS)


def test_layers_of_the_critic_for_512_pixels() -> None:
    critic = Critic(critic_widths(512))
    assert critic.widths == (64, 128, 256, 512, 512, 512, 512)
    layers = describe_critic(critic, 512)
    assert sum(p.numel() for p in critic.parameters()) / 1e6 == pytest.approx(15.9, abs=0.05)
    assert sum(layer.macs for layer in layers) / 1e9 == pytest.approx(8.3, abs=0.05)
    assert [layer.size for layer in layers if "4x4" in layer.kind] == [256, 128, 64, 32, 16, 8, 4, 1]


def test_the_light_enters_before_the_last_but_one_convolution() -> None:
    assert [level.conv.in_channels for level in Critic(critic_widths(512)).levels] == [6, 64, 128, 256, 512, 576, 512]


def test_all_but_the_first_are_normalised_and_the_score_is_bare() -> None:
    critic = _critic()
    assert [isinstance(level.norm, torch.nn.BatchNorm2d) for level in critic.levels] == [False, True, True, True]
    assert [level.conv.bias is not None for level in critic.levels] == [True, False, False, False]
    scores = critic(torch.rand(3, 3, 64, 64), torch.rand(3, 3, 64, 64), torch.rand(3, 3, 16, 16))
    assert scores.shape == (3,)
    assert scores.dtype == torch.float32


@pytest.mark.parametrize(("size", "levels"), [(64, 4), (32, 3)])
def test_half_the_size_leaves_the_last_convolution_out(size: int, levels: int) -> None:
    critic = _critic()
    used = []
    for number, level in enumerate(critic.levels):
        level.register_forward_hook(lambda *_args, number=number: used.append(number))
    critic(torch.rand(2, 3, size, size), torch.rand(2, 3, size, size), torch.rand(2, 3, 16, 16))
    assert used == list(range(levels))


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="128 px, expected 64 or 32"):
        _critic()(torch.rand(2, 3, 128, 128), torch.rand(2, 3, 128, 128), torch.rand(2, 3, 16, 16))


@pytest.mark.parametrize("size", [16, 96, 500])
def test_there_is_no_critic_for_odd_sizes(size: int) -> None:
    with pytest.raises(ValueError, match=f"no critic for pictures of {size} px"):
        critic_widths(size)


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512, 1024])
def test_widths_follow_the_size(size: int) -> None:
    assert Critic(critic_widths(size)).sizes == (size, size // 2)


@pytest.mark.parametrize(("widths", "message"), [((8, 8), "2 convolutions"), ((8, 16, 24), "16 and 24, expected equal")])
def test_widths_that_do_not_fit_are_refused(widths: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Critic(widths)


def test_clipping_reaches_every_parameter() -> None:
    critic = _critic()
    assert max(p.abs().max() for p in critic.parameters()) > 0.9  # the factors of batch normalisation
    critic.clip_weights(0.01)
    assert max(p.abs().max().item() for p in critic.parameters()) == pytest.approx(0.01)


def test_every_input_matters() -> None:
    critic = _critic()
    inputs = [torch.rand(4, 3, s, s, requires_grad=True) for s in (64, 64, 16)]
    critic(*inputs).square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in inputs)


def test_real_and_relit_pictures_do_not_share_statistics() -> None:
    critic, (source, target, relit) = _critic(), torch.rand(3, 4, 3, 64, 64)
    light = torch.rand(4, 3, 16, 16)
    real, _ = CriticPasses(critic)(source, target, relit, light)
    again, _ = CriticPasses(critic)(source, target, 100 * relit, light)
    assert torch.equal(real, again)


def test_memory_keeps_the_newest_batches_and_serves_them_in_turn() -> None:
    memory = CriticMemory(3)
    for n in range(5):
        memory.add(*(torch.full((1, 3, 4, 4), n / 8) for _ in range(3)), torch.full((1, 3, 16, 16), 1e6 + n))
    assert len(memory) == 3
    assert [memory.batch(k)[0].mean().item() * 8 for k in range(5)] == [4, 3, 2, 4, 3]
    assert memory.batch(0)[3].max() == 1e6 + 4  # suns do not overflow
    again = CriticMemory(3)
    again.restore(memory.state(), torch.device("cpu"))
    for k in range(3):
        assert all(torch.equal(a, b) for a, b in zip(memory.batch(k), again.batch(k), strict=True))
    memory.clear()
    assert len(memory) == 0


def test_memory_holds_no_graph() -> None:
    memory = CriticMemory(2)
    memory.add(*(torch.rand(1, 3, 4, 4, requires_grad=True) for _ in range(3)), torch.rand(1, 3, 16, 16))
    assert not any(x.requires_grad for x in memory.batch(0))


def test_the_critic_learns_to_tell_two_kinds_of_pictures_apart() -> None:
    critic, light = _critic(), torch.ones(8, 3, 16, 16)
    optimizer = torch.optim.RMSprop(critic.parameters(), lr=5e-4)
    source = torch.rand(8, 3, 32, 32)
    real, fake = source, source * 0.3
    gaps = []
    for _ in range(30):
        optimizer.zero_grad()
        true_scores, fake_scores = CriticPasses(critic)(source, real, fake, light)
        gaps.append((true_scores.mean() - fake_scores.mean()).item())
        (-true_scores.mean() + fake_scores.mean()).backward()
        optimizer.step()
        critic.clip_weights(0.01)
    assert gaps[-1] > 0
    assert np.mean(gaps[-3:]) > np.mean(gaps[1:4])
