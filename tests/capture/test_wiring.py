"""Whatever the capture room defines is used by the package, not by tests alone."""

import ast
from collections import Counter
from pathlib import Path

import olatkit

PACKAGE = Path(olatkit.__file__).parent


def test_nothing_in_capture_is_reachable_from_tests_only():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    used: Counter[str] = Counter()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                used[node.id] += 1
            elif isinstance(node, ast.Attribute):
                used[node.attr] += 1
    defined = [
        (path.name, node.name) for path, tree in trees.items() if path.parent.name == "capture"
        for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    assert len(defined) > 100
    assert [place for place in defined if not place[1].startswith("__") and not used[place[1]]] == []
