"""The page about training agrees with the code: settings, sizes of networks, columns, messages."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import olatkit
from olatkit.learn import logbook, pictures
from olatkit.learn.config import TrainConfig
from olatkit.learn.describe import describe_network, without_storage
from olatkit.learn.network import RelightingNetwork
from olatkit.learn.variants import PARSING_CHANNELS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def test_table_of_settings_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_settings", ROOT / "docs" / "make_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page_with_table(PAGE, TrainConfig) == PAGE, "run python docs/make_settings.py"


@pytest.mark.parametrize("variant", ["base", "small", "lite", "tiny"])
def test_sizes_of_networks(variant: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{variant}` |"))
    cells = [cell.strip() for cell in row.split("|")[2:4]]
    with without_storage():
        network = RelightingNetwork(variant, parsing_channels=PARSING_CHANNELS[variant])
    layers = describe_network(network, 512)
    parameters = sum(layer.parameters for layer in layers) / 1e6
    whole = sum(layer.macs for layer in layers) / 1e9
    assert float(cells[0].removesuffix(" M")) == pytest.approx(parameters, abs=0.05 if parameters > 1 else 0.005)
    assert float(re.match(r"[\d.]+", cells[1])[0]) == pytest.approx(whole, abs=0.06 if whole > 10 else 0.005)  # type: ignore[index]


@pytest.mark.parametrize(("before", "columns"), [
    ("The sheets of pictures", pictures.COLUMNS), ("Columns of `metrics.csv`", logbook.COLUMNS),
])
def test_columns_are_all_explained(before: str, columns: tuple[str, ...]) -> None:
    table = PAGE.partition(before)[2].partition("| column |")[2].partition("\n\n")[0]
    names = "".join(line.split("|")[1] for line in table.splitlines()[2:])
    assert sorted(re.findall(r"`([^`]+)`", names)) == sorted(columns)


def test_messages_exist() -> None:
    texts = []
    for path in Path(olatkit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    section = PAGE.partition("## Messages")[2].partition("\n## ")[0]
    messages = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(messages) > 5
    assert [message for message in messages if not any(message in text for text in texts)] == []


def test_bars_of_overfitting_are_those_of_the_test() -> None:
    source = (Path(__file__).parent / "test_train.py").read_text(encoding="utf-8")
    bars = re.findall(r'\("(\w+)", [\d.e-]+, (\d+), (\d+)\)', source)
    assert [bar[0] for bar in bars] == ["tiny", "lite", "small", "base"]
    assert "| | `tiny` | `lite` | `small` | `base` |" in PAGE
    assert f"| steps | {' | '.join(steps for _, steps, _ in bars)} |" in PAGE
    assert f"| asked for | {' | '.join(f'{decibels} dB' for *_, decibels in bars)} |" in PAGE
