"""The house itself: quick start-up, public names, version, import floors, and nothing left behind in the files."""

import ast
import configparser
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import olatkit

ROOT = Path(__file__).resolve().parent.parent
HEAVY = (
    "numpy", "scipy", "cv2", "h5py", "OpenEXR", "av", "imageio", "torch", "numba", "dask", "pydantic", "yaml", "rich",
)
ENGINES = ("torch", "numba", "cv2", "h5py", "dask", "scipy", "av")


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def _texts(*suffixes: str) -> list[tuple[Path, str]]:
    return [
        (path.relative_to(ROOT), path.read_text(encoding="utf-8"))
        for path in _tracked() if path.suffix in suffixes or (not suffixes and path.suffix not in (".png", ".jpg"))
    ]


@pytest.mark.parametrize(
    "statement", ["import olatkit", "from olatkit.cli.main import group; group(['--help'], standalone_mode=False)"]
)
def test_start_up_imports_nothing_heavy(statement: str) -> None:
    shown = _run(f"import sys; {statement}; print('\\nloaded:', *(m for m in {HEAVY} if m in sys.modules))")
    assert shown.rstrip().splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("command", ["bank", "envmap", "info", "ingest", "render", "simulate", "train"])
def test_help_of_a_command_imports_no_engine(command: str) -> None:
    code = (
        f"import sys; sys.argv = ['olatkit', '{command}', '--help']\n"
        "from olatkit.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('\\nloaded:', *(m for m in {ENGINES} if m in sys.modules))"
    )
    assert _run(code).rstrip().splitlines()[-1] == "loaded:"


def test_help_lists_every_command() -> None:
    from olatkit.cli.main import COMMANDS

    shown = _run("from olatkit.cli.main import group; group(['--help'], standalone_mode=False)")
    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", olatkit.__all__)
def test_public_names_resolve_and_are_documented(name: str) -> None:
    value = getattr(olatkit, name)
    assert inspect.getdoc(value)
    if inspect.isfunction(value):
        hints = inspect.signature(value)
        assert hints.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not inspect.Parameter.empty for p in hints.parameters.values())


def test_public_names_are_listed_alike_for_people_and_type_checkers() -> None:
    tree = ast.parse(Path(olatkit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == set(olatkit.__all__) == set(olatkit._PUBLIC)
    assert set(olatkit.__all__) <= set(dir(olatkit))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = olatkit.nonsense


def test_version_is_stated_once() -> None:
    assert _setup()["metadata"]["version"] == olatkit.__version__
    assert re.search(rf"^## {re.escape(olatkit.__version__)}\b", (ROOT / "CHANGES.md").read_text(), re.MULTILINE)


def test_import_contracts() -> None:
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_requirement_has_a_tested_version() -> None:
    pins = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = _requirements()
    missing = [name for item in wanted if (name := re.split(r"[\[<>=]", item)[0].lower()) not in pins]
    assert not missing


def _requirements() -> list[str]:
    options = _setup()
    return " ".join([options["options"]["install_requires"], *options["options.extras_require"].values()]).split()


def test_requirements_leave_other_versions_to_the_user() -> None:
    """Newer NumPy, SciPy or PyAV do not exist for every Python: lower bounds only, tested versions in constraints.txt."""
    free = re.compile(r"[\w.-]+(\[[\w,]+\])?(>=[\d.]+)?")
    assert [item for item in _requirements() if not free.fullmatch(item)] == []


def test_nothing_replaces_torch_or_opencv_when_it_is_installed() -> None:
    """These pull in torchvision, which replaces a CPU build of torch, or lay another OpenCV over the one there is."""
    unwanted = ("torchvision", "lpips", "torchmetrics", "piq", "mediapipe", "opencv-contrib-python",
                "opencv-python-headless")
    pins = [line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()]
    wanted = [re.split(r"[\[<>=]", item)[0] for item in _requirements()]
    assert [name for name in (*pins, *wanted) if name.lower() in unwanted] == []


def test_scripts_do_not_hide_modules_of_python() -> None:
    """A script's folder comes first on the path: one called dis.py breaks every library that imports dis."""
    scripts = [path for path in _tracked() if path.suffix == ".py" and "olatkit" not in path.relative_to(ROOT).parts]
    assert [path.name for path in scripts if path.stem in sys.stdlib_module_names] == []


def test_no_path_of_a_machine_in_any_file() -> None:
    pattern = re.compile(r"(?<![\w./-])/(?:home|root|Users|work|workspace)/")
    found = [f"{path}: {m.group()}" for path, text in _texts() for m in pattern.finditer(text)]
    assert found == []


def test_documents_that_are_mentioned_exist() -> None:
    pattern = re.compile(r"\b[A-Z][A-Z_]+\.md\b")
    present = {path.name for path in _tracked()}
    found = [f"{path}: {name}" for path, text in _texts(".py", ".md", ".cfg", ".yaml") for name in pattern.findall(text)
             if name not in present]
    assert found == []


def test_nothing_is_left_for_later_in_the_package() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "X" * 3)
    found = [f"{path}: {mark}" for path, text in _texts(".py") for mark in marks if re.search(rf"\b{mark}\b", text)]
    assert found == []


def test_modules_have_docstrings_and_sensible_names() -> None:
    files = [path for path in _tracked() if path.suffix == ".py"]
    undocumented = [path.name for path in files if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert [name for name in undocumented if name != "__init__.py"] == []
    assert not {"utils.py", "common.py", "helpers.py", "misc.py"} & {path.name for path in files}
