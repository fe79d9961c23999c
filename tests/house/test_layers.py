"""Imports go down only, and in no circle."""

import ast
import shutil

import pytest

from tests.house.source import ROOMS, ROOT, circles, modules, upward


@pytest.fixture(scope="module")
def house():
    return modules(ROOT)


def test_no_room_imports_a_higher_one(house):
    assert upward(house) == []


def test_no_modules_form_a_circle(house):
    assert circles(house) == []


@pytest.mark.parametrize(
    ("lower", "statement"),
    [
        ("supervision", "from actors.protocol import ids"),
        ("supervision", "import kcactors.settings"),
        ("actors", "def late():\n    from gateway import app\n"),
        ("gateway", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import kcactors"),
    ],
)
def test_an_import_turned_round_is_found(house, lower, statement):
    turned = {**house, f"{lower}.turned": ast.parse(statement)}
    assert [found.module for found in upward(turned)] == [f"{lower}.turned"]


def test_an_import_turned_round_in_a_copy_of_the_house_is_found(tmp_path):
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    below = tmp_path / "supervision" / "clock.py"
    below.write_text(below.read_text() + "\nimport gateway.app\n")
    assert [found.target for found in upward(modules(tmp_path))] == ["gateway.app"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from actors.turned_b import b", "from actors import turned_a"),
        ("import actors.turned_b", "def late():\n    import actors.turned_a\n"),
    ],
)
def test_a_circle_is_found(house, first, second):
    turned = {**house, "actors.turned_a": ast.parse(first), "actors.turned_b": ast.parse(second)}
    assert ["actors.turned_a", "actors.turned_b"] in circles(turned)
