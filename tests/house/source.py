"""Reads the house's source: its modules, what they import and call. Pure functions over a folder."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ROOMS = ("supervision", "actors", "gateway", "kcactors")
"""From the ground up; a room may import those before it."""


class Import(NamedTuple):
    """One import statement: the module that has it, the line, and what it names (a dotted path)."""

    module: str
    line: int
    target: str


def modules(root: Path, packages: tuple[str, ...] = ROOMS) -> dict[str, ast.Module]:
    """Dotted name to syntax tree; a package goes by its own name."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_bytes()
        )
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }


def imports(trees: Mapping[str, ast.Module]) -> Iterator[Import]:
    """Every import, also those inside functions and for type checkers only.

    ``from package import name`` is an import of ``package.name`` where that is a module.
    """
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(module, node.lineno, alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield Import(module, node.lineno, inner if inner in trees else node.module)


def upward(trees: Mapping[str, ast.Module]) -> list[Import]:
    """Imports of a higher room."""
    height = {room: floor for floor, room in enumerate(ROOMS)}
    return [
        found
        for found in imports(trees)
        if height.get(room_of(found.target), -1) > height[room_of(found.module)]
    ]


def circles(trees: Mapping[str, ast.Module]) -> list[list[str]]:
    """Groups of modules that import each other in a circle, each sorted by name."""
    needs: dict[str, set[str]] = {module: set() for module in trees}
    for found in imports(trees):
        if found.target in trees and found.target != found.module:
            needs[found.module].add(found.target)
    reach = {module: _reachable(module, needs) for module in trees}
    together = {tuple(sorted(o for o in reach[m] if m in reach[o])) for m in trees if m in reach[m]}
    return sorted(map(list, together))


def _reachable(start: str, needs: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = list(needs[start])
    while ahead:
        module = ahead.pop()
        if module not in seen:
            seen.add(module)
            ahead.extend(needs[module])
    return seen


def room_of(target: str) -> str:
    return target.partition(".")[0]


def sleeps(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call of something named ``sleep``, but for sleeps of nothing, by which a coroutine lets others run."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            nothing = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if name == "sleep" and not nothing:
                yield node


def names(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that is read, as ``os.environ``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def texts(tree: ast.AST) -> set[str]:
    """Every string constant."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def code_lines(source: str) -> int:
    """Lines that hold code: no blank ones, comments or docstrings."""
    tree = ast.parse(source)
    prose: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(
        1
        for number, line in lines
        if number not in prose and line.strip() and not line.lstrip().startswith("#")
    )
