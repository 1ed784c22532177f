"""The network: layer table, shapes, Eq. 1 to 3, pooling of light, field of view, clips and single frames."""

import numpy as np
import pytest
import torch

from olatkit.learn.average import STATISTICS_EVERY, make_average, update_average, update_statistics
from olatkit.learn.describe import describe_network, without_storage
from olatkit.learn.network import LightHead, RelightingNetwork
from olatkit.learn.variants import PARSING_CHANNELS, VARIANTS

TINY = VARIANTS["tiny"]


def _network(variant: str = "tiny", **options: object) -> RelightingNetwork:
    torch.manual_seed(0)
    return RelightingNetwork(variant, **options).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variant", "size", "million_parameters", "encoder_gmac", "decoder_gmac"),
    [
        ("base", 512, 35.5, 23.8, 46.0), ("small", 512, 11.5, 11.2, 23.6), ("lite", 512, 0.93, 0.38, 1.66),
        ("tiny", 64, 0.82, 0.02, 0.02),
    ],
)
def test_parameters_and_multiplications(
    variant: str, size: int, million_parameters: float, encoder_gmac: float, decoder_gmac: float
) -> None:
    with without_storage():
        network = _network(variant, parsing_channels=PARSING_CHANNELS[variant])
    layers = describe_network(network, size)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in network.parameters())
    assert sum(layer.parameters for layer in layers) / 1e6 == pytest.approx(million_parameters, abs=0.05)
    for part, gmac in (("encoder", encoder_gmac), ("decoder", decoder_gmac)):
        assert sum(layer.macs for layer in layers if layer.part == part) / 1e9 == pytest.approx(gmac, abs=0.05)


def test_lite_stays_within_a_phone() -> None:
    layers = describe_network(_network("lite"), 512)
    assert sum(layer.parameters for layer in layers) <= 1.5e6
    assert sum(layer.macs for layer in layers) <= 2.3e9


def test_layers_of_base_line_by_line() -> None:
    with without_storage():
        network = _network("base")
    rows = {layer.name: (layer.inputs, layer.outputs, layer.size) for layer in describe_network(network, 512)}
    assert rows == {
        "E0": (3, 29, 512), "E1a": (32, 64, 256), "E1b": (64, 64, 256), "E2a": (64, 128, 128), "E2b": (128, 128, 128),
        "E3a": (128, 256, 64), "E3b": (256, 256, 64), "E4a": (256, 512, 32), "E4b": (512, 512, 32),
        "LH1": (512, 512, 32), "LH2": (512, 1024, 32), "E5": (512, 512, 16), "E6": (512, 512, 8), "E7": (512, 512, 8),
        "LE1": (768, 512, 1), "LE2": (512, 256, 1), "D6": (768, 512, 8), "D5": (512, 512, 16), "D4a": (1024, 512, 32),
        "D4b": (512, 512, 32), "D3a": (768, 256, 64), "D3b": (256, 256, 64), "D2a": (384, 128, 128),
        "D2b": (128, 128, 128), "D1a": (192, 64, 256), "D1b": (64, 64, 256), "D0": (96, 32, 512), "rgb": (32, 3, 512),
        "parsing": (32, 19, 512),
    }


def test_multiplications_are_counted_as_the_profiler_counts_them() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = _network("lite")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 16, 16))
    # It counts a multiplication and an addition as two.
    assert sum(layer.macs for layer in describe_network(network, 64)) == counter.get_total_flops() / 2


@pytest.mark.parametrize(("variant", "parsing_channels"), [
    # The large ones take their time to be made; without labels and with one they are alike.
    pytest.param(variant, channels, marks=pytest.mark.slow if variant in ("base", "small") and channels < 19 else ())
    for variant in VARIANTS for channels in (0, 1, 19)
])
def test_shapes_and_ranges(variant: str, parsing_channels: int) -> None:
    network = _network(variant, parsing_channels=parsing_channels)
    with torch.no_grad():
        light, skips, code = network.encode(torch.rand(2, 3, 64, 128))
        relit, parsing = network.decode(100 * torch.rand(2, 3, 16, 16), skips, code)
    assert light.shape == (2, 3, 16, 16)
    assert light.min() > 0
    assert code.shape == (2, VARIANTS[variant].code, 1, 2)
    assert relit.shape == (2, 3, 64, 128)
    assert 0 <= relit.min() < relit.max() <= 1
    if parsing_channels:
        assert parsing.shape == (2, parsing_channels, 64, 128)
    else:
        assert parsing is None


def test_equations_one_to_three_fit_together() -> None:
    network, image, light = _network(), torch.rand(1, 3, 64, 64), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        relit, own_light, parsing = network(image, light)
        encoding = network.encode(image)
        decoding = network.decode(light, encoding.skips, encoding.code)
    assert torch.equal(relit, decoding.image)
    assert torch.equal(own_light, encoding.light)
    assert torch.equal(parsing, decoding.parsing)


def test_another_light_changes_the_picture_and_neither_code_nor_skips() -> None:
    network, image = _network(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        dim, _, _ = network(image, torch.full((1, 3, 16, 16), 0.1))
        bright, _, _ = network(image, torch.full((1, 3, 16, 16), 9.0))
    assert (dim - bright).abs().max() > 1e-3


def test_the_code_has_zero_mean_and_unit_variance_per_sample() -> None:
    code = _network("base").encode(torch.rand(2, 3, 128, 128)).code.detach()
    np.testing.assert_allclose(code.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(code.var((1, 2, 3), correction=0), 1, atol=1e-2)


def test_light_is_pooled_by_confidence() -> None:
    head, features = LightHead(TINY, "prelu").eval(), torch.rand(2, 48, 3, 5)
    with torch.no_grad():
        found = head(features).numpy()
        raw = np.log1p(np.exp(head.LH2(head.LH1(features)).double().numpy()))
    expected = np.zeros((2, 3, 16, 16))
    for b, c, row, column in np.ndindex(expected.shape):
        q = 16 * row + column
        confidence, light = raw[b, 768 + q], raw[b, 256 * c + q]
        expected[b, c, row, column] = (confidence * light).sum() / (confidence.sum() + 1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("output", "pixels"), [("skip", 97), ("code", 321)])
def test_field_of_view(output: str, pixels: int) -> None:
    network = _network("tiny")
    for module in network.modules():  # normalisation over the whole picture would see all of it
        for name, child in module.named_children():
            if isinstance(child, torch.nn.GroupNorm):
                setattr(module, name, torch.nn.Identity())
    encoder = network.encoder
    image = torch.rand(1, 3, 512, 512, requires_grad=True)
    f4 = encoder.E4(encoder.E3(encoder.E2(encoder.E1(encoder.E0(image)))))
    seen = f4 if output == "skip" else encoder.E7(encoder.E6(encoder.E5(f4)))
    middle = seen.shape[-1] // 2
    seen[..., middle, middle].sum().backward()
    touched = np.flatnonzero(image.grad.abs().sum((0, 1, 2)).numpy())
    assert touched[-1] - touched[0] + 1 == pixels


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_clip_equals_its_frames(variant: str) -> None:
    network, clip, lights = _network(variant), torch.rand(5, 3, 64, 64), torch.rand(5, 3, 16, 16)
    with torch.no_grad():
        whole = network(clip, lights)
        for t in range(5):
            for together, alone in zip(whole, network(clip[t : t + 1], lights[t : t + 1]), strict=True):
                np.testing.assert_allclose(together[t], alone[0], atol=1e-5)


@pytest.mark.parametrize("side", [32, 65, 100])
def test_sizes_that_do_not_fit_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match=f"{side}x64, expected sides that are multiples of 64"):
        _network().encode(torch.rand(1, 3, 64, side))


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown variant 'huge', expected one of base, small, lite, tiny"):
        RelightingNetwork("huge")


def test_lite_can_be_folded() -> None:
    network = _network("lite", activation="relu6")
    kinds = {type(module).__name__ for module in network.modules()}
    assert "GroupNorm" not in kinds
    assert "PReLU" not in kinds
    assert {"BatchNorm2d", "ReLU6"} <= kinds


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_group_normalisation_pictures_do_not_depend_on_their_neighbours(variant: str) -> None:
    """In training too; batch normalisation takes the mean over the lightings of a batch away."""
    image, light = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 16, 16)
    other = light.clone()
    other[1] *= 4

    def change(norm: str) -> float:
        network = _network(variant, norm=norm).train()
        with torch.no_grad():
            return float((network(image, light)[0] - network(image, other)[0])[0].abs().max())

    assert change("group") < 1e-5
    assert change("batch") > 1e-3


def test_a_network_of_the_same_form_takes_the_same_weights() -> None:
    network = _network("lite", norm="group", activation="relu6", parsing_channels=1)
    copy = RelightingNetwork(**network.form)
    copy.load_state_dict(network.state_dict())
    assert copy.form == {
        "variant": "lite", "parsing_channels": 1, "activation": "relu6", "norm": "group", "light_levels": True,
    }
    assert RelightingNetwork("lite").form["norm"] == "batch"


def test_lite_lights_every_level_and_begins_as_if_it_did_not() -> None:
    network, light = _network("lite"), torch.rand(2, 3, 16, 16)
    embedded, x = network.decoder.LE2(network.decoder.LE1(light.flatten(1))), torch.rand(2, 80, 4, 4)
    assert torch.equal(network.decoder._lit(2, x, embedded), x)
    layer = network.decoder.LS[2].linear
    with torch.no_grad():
        layer.weight.normal_(0, 0.1)
    scale, shift = layer(embedded).detach().numpy().reshape(2, 2, 80, 1, 1).swapaxes(0, 1)
    np.testing.assert_allclose(
        network.decoder._lit(2, x, embedded).detach(), x.numpy() * (1 + scale) + shift, atol=1e-6
    )
    assert not len(_network("base").decoder.LS)
    assert len(_network("tiny", light_levels=True).decoder.LS) == 5
    assert not len(_network("lite", light_levels=False).decoder.LS)


def test_half_precision_stays_close_and_light_in_full_precision() -> None:
    network, image, light = _network(), torch.rand(2, 3, 64, 64), 50 * torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        full = network(image, light)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(image, light)
    for (name, atol), a, b in zip((("relit", 0.02), ("light", 0.02), ("parsing", 0.1)), full, half, strict=True):
        assert b.dtype == torch.float32, name
        np.testing.assert_allclose(a, b, atol=atol, err_msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gpu_computes_the_same(variant: str, cuda: str) -> None:
    network, image, light = _network(variant), torch.rand(2, 3, 128, 128), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        expected = network(image, light)
        found = network.to(cuda)(image.to(cuda), light.to(cuda))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b.cpu(), atol=5e-3)  # convolutions in TensorFloat-32


@pytest.mark.parametrize("variant", ["tiny", "lite"])
def test_averaged_weights_follow_the_network(variant: str) -> None:
    network = _network(variant)
    average = make_average(network)
    before = [p.clone() for p in average.parameters()]
    with torch.no_grad():
        for p in network.parameters():
            p += 1
    update_average(average, network, decay=0.9, step=10_000)
    for old, new in zip(before, average.parameters(), strict=True):
        np.testing.assert_allclose(new, old + 0.1, atol=1e-5)
    assert not any(p.requires_grad for p in average.parameters())
    update_average(average, network, decay=0.999, step=0)  # the first step all but forgets the random start
    assert max((a - n).abs().max() for a, n in zip(average.parameters(), network.parameters(), strict=True)) < 0.1


@pytest.mark.slow
def test_batch_statistics_are_those_of_the_averaged_weights() -> None:
    """They are gathered on what its own layers pass on; after enough batches it answers as with a batch's own ones."""
    average, image, light = make_average(_network("lite")), torch.rand(16, 3, 64, 64), torch.rand(16, 3, 16, 16)

    def error() -> float:
        found = average(image, light)[0]
        expected = average.train()(image, light)[0]
        return float((found - expected).abs().mean())

    with torch.no_grad():
        average.encoder.E0.conv.conv.weight *= 3  # the network that it came from saw smaller values
        for layer in average.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.0
        before = error()
        for step in range(60 * STATISTICS_EVERY):
            update_statistics(average.eval(), image, light, step)
        assert not average.training
        assert error() < 0.2 * before


def test_networks_without_batch_normalisation_have_no_statistics() -> None:
    average = make_average(_network("tiny"))
    before = {name: value.clone() for name, value in average.state_dict().items()}
    update_statistics(average, torch.rand(2, 3, 64, 64), torch.rand(2, 3, 16, 16), 0)
    assert all(torch.equal(value, before[name]) for name, value in average.state_dict().items())
