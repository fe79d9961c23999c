"""The chores behind make, and the locked requirements they install."""

import itertools
import re
import subprocess
import tomllib

import pytest

from tests.house.source import ROOT

TARGETS = ("setup", "demo", "test", "dev", "bench", "chaos", "soak", "lint", "format", "help")
LOCKS = ("base", "embedded", "test", "lint", "lock")
PIN = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?: ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def pins(lock):
    return {
        found["name"]: found["version"]
        for line in (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
        if (found := PIN.match(line))
    }


def test_help_lists_every_chore():
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in said.splitlines()} >= set(TARGETS)
    assert subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout == said


def test_without_a_suitable_python_the_set_up_says_what_it_needs(tmp_path):
    done = subprocess.run(
        ["make", "setup", f"VENV={tmp_path / 'venv'}", "CANDIDATES=no-such-python"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Python 3.11 or later" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_nothing_but_pins_with_hashes(lock):
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
    assert lines
    assert [line for line in lines if not PIN.match(line) and not HASH.match(line)] == []


def test_the_locks_agree_with_each_other_and_cover_what_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    declared = [*project["project"]["dependencies"], *itertools.chain(*extras)]
    names = {re.split(r"[\[<>=!; ]", requirement)[0].lower().replace("_", "-") for requirement in declared}
    test = pins("test")
    assert names <= set(test)
    for lock in ("base", "embedded", "lint"):
        differing = {name for name, version in pins(lock).items() if test.get(name, version) != version}
        assert differing == set()
