"""Imports go down only, and in no circle."""

import shutil

import pytest

from tests.house.source import ROOMS, ROOT, circles, modules, upward


@pytest.fixture
def copy(tmp_path):
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_no_room_imports_a_higher_one():
    assert upward(modules(ROOT)) == []


def test_no_modules_form_a_circle():
    assert circles(modules(ROOT)) == []


@pytest.mark.parametrize(
    ("lower", "statement"),
    [
        ("supervision", "from actors.protocol import ids"),
        ("supervision", "import kcactors.settings"),
        ("actors", "def late():\n    from gateway import app\n"),
        ("gateway", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import kcactors"),
    ],
)
def test_an_import_turned_round_is_found(copy, lower, statement):
    (copy / lower / "turned.py").write_text(statement)
    assert [found.module for found in upward(modules(copy))] == [f"{lower}.turned"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from actors.turned_b import b", "from actors import turned_a"),
        ("import actors.turned_b", "def late():\n    import actors.turned_a\n"),
    ],
)
def test_a_circle_is_found(copy, first, second):
    (copy / "actors" / "turned_a.py").write_text(first)
    (copy / "actors" / "turned_b.py").write_text(second)
    assert ["actors.turned_a", "actors.turned_b"] in circles(modules(copy))
