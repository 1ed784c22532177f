"""The documents agree with the code: links, settings, options, messages, examples of files and of Python."""

import ast
import importlib.util
import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest

import olatkit
from olatkit.cli.main import COMMANDS, load_command
from olatkit.io.documents import rig_from_document
from olatkit.io.sidecar import Sidecar
from olatkit.schedule import multiplexed_114, s_matrix_115, schedule_from_document
from olatkit.simulate.texture import LABELS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(olatkit.__file__).parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGES.md", *ROOT.glob("docs/*.md"), *ROOT.glob("pipelines/*/README.md")])
CAPTURE = (ROOT / "docs" / "capture.md").read_text(encoding="utf-8")


def _page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def _text(node: ast.AST) -> str:
    """A string expression with … in place of values."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    return _text(node.left) + _text(node.right) if isinstance(node, ast.BinOp) else "…"


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    local = [target.split("#")[0] for target in targets if "://" not in target and not target.startswith("#")]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_commands_exist_with_their_options(page: Path) -> None:
    lines = [line for block in _blocks(page, "console") for line in block.replace("\\\n", " ").splitlines()]
    for line in lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] != ["olatkit"] or len(words) < 2 or words[1].startswith("-"):
            continue
        assert words[1] in COMMANDS, line
        command, words = load_command(words[1]), words[1:]
        while isinstance(command, click.Group) and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in command.commands, line
            command, words = command.commands[words[1]], words[1:]
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        assert {w.split("=")[0] for w in words[1:] if w.startswith("-") and not w[1:2].isdigit()} <= known, line


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_python_uses_public_names_only(page: Path) -> None:
    for block in _blocks(page, "python"):
        tree = ast.parse(block)
        used = {
            node.attr for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "olatkit"
        }
        assert used <= set(olatkit.__all__)


def test_documented_files_can_be_read() -> None:
    sidecar, schedule, rig = (json.loads(block) for block in _blocks(ROOT / "docs" / "capture.md", "json"))
    assert Sidecar(**sidecar).white_level == 4095
    assert schedule_from_document(schedule).cycle == 6
    assert len(rig_from_document(rig)) == 3


def test_every_key_of_a_sidecar_is_documented() -> None:
    table = CAPTURE.partition("| key | meaning |")[2].partition("\n\n")[0]
    keys = "".join(row.split("|")[1] for row in table.splitlines()[2:])
    assert set(re.findall(r"`(\w+)`", keys)) == set(Sidecar.model_fields)


def test_table_of_settings_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_settings", ROOT / "docs" / "make_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.BEGIN in CAPTURE
    assert module.page_with_table(CAPTURE) == CAPTURE, "run python docs/make_settings.py"


@pytest.mark.parametrize("kind", ["ingest", "render", "simulate", "train"])
def test_every_option_of_ingest_is_a_sentence(kind: str) -> None:
    command: click.Command = import_module(f"olatkit.cli.{kind}").command
    bare = [p.opts[0] for p in command.params if isinstance(p, click.Option) and not p.help]
    assert bare == []


def _documented_messages() -> list[str]:
    pages = (CAPTURE, (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8"))
    sections = [page.partition("## Messages")[2].partition("\n## ")[0] for page in pages]
    return [m.group(1) for section in sections for m in re.finditer(r"^\| `([^`]+)` \|", section, re.MULTILINE)]


def test_documented_messages_exist() -> None:
    texts = [
        _text(node) for path in PACKAGE.rglob("*.py") for node in _nodes(path)
        if isinstance(node, ast.Constant | ast.JoinedStr)
    ]
    assert [message for message in _documented_messages() if not any(message in text for text in texts)] == []


def test_every_capture_error_is_documented() -> None:
    paths = [*PACKAGE.glob("capture/*.py"), *PACKAGE.glob("jobs/*.py")]
    raised = [
        (path.name, _text(node.args[0]))
        for path in paths
        for node in _nodes(path)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CaptureError"
    ]
    assert len(raised) > 10
    documented = _documented_messages()
    missing = [(name, text) for name, text in raised if not any(message in text for message in documented)]
    assert missing == [], "explain these in the table of messages in docs/capture.md"


def test_table_of_labels_is_that_of_the_simulator() -> None:
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8").partition("## Labels")[2]
    listed = dict(re.findall(r"\| (\d+) (\w+)", text.replace(" |", " | |")))
    assert listed == {str(i): name for i, name in enumerate(LABELS)}


def test_multiplexing_numbers() -> None:
    from olatkit.capture.multiplex import multiplex_gain

    drive = multiplexed_114().drive[multiplexed_114().coded_slots]
    # 116 / (2 sqrt 115) is the textbook gain of the S-matrix of order 115.
    assert multiplex_gain(drive) == pytest.approx(116 / (2 * 115**0.5), rel=2e-4)
    assert f"| {multiplex_gain(drive):.2f} |" in CAPTURE
    assert f"| {multiplex_gain(s_matrix_115()[:114, :114]):.2f} |" in CAPTURE


def test_numbers_of_the_codes() -> None:
    from olatkit.io import codes

    table = codes.decode_table().astype(float)
    noise = np.sqrt(np.maximum(table[1:], 0) / 20_000 + (20 / 20_000) ** 2)
    worst = (np.diff(table) / np.sqrt(12) / noise)[table[1:] >= 0].max()
    assert f"code = {codes.BLACK} + k" in CAPTURE
    assert f"k = {codes.SCALE:.2f}" in CAPTURE
    assert f"down to −{-table[0]:.3f}" in CAPTURE
    assert f"at most {100 * worst:.1f} %" in CAPTURE
    assert table[-1] == pytest.approx(4)
