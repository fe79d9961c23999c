import os
import subprocess
import sys

import pytest

from tests.house.source import ROOT

TESTS = """
import pytest

@pytest.mark.node_js
def test_of_a_group(): pass

@pytest.mark.chaos
def test_on_demand(): pass

def test_of_none(): pass
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)

    def run(*options, ci=False, path=""):
        plugins = ["-p", "tests.support.groups", "-p", "no:cacheprovider"]
        kept = {name: text for name, text in os.environ.items() if name != "CI"}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *plugins, "--rootdir", str(tmp_path), str(tmp_path), *options],
            cwd=ROOT,
            env={**kept, "PATH": path, **({"CI": "true"} if ci else {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_what_the_machine_lacks_is_left_out_by_name_and_reason(run):
    done = run()
    assert done.returncode == 0
    assert "1 passed, 2 skipped" in done.stdout
    assert "node_js: 1 test: Node.js is not installed" in done.stdout
    assert "chaos: 1 test: needs more time than `make test` has: `make chaos`" in done.stdout


def test_what_a_build_server_lacks_is_a_failure(run):
    done = run(ci=True)
    assert done.returncode == 1
    assert "1 passed, 1 skipped, 1 error" in done.stdout
    assert "CI has to run every group; node_js: Node.js is not installed" in done.stdout


def test_what_is_asked_for_runs(run, tmp_path):
    node = tmp_path / "node"
    node.touch(mode=0o755)
    done = run("--with", "chaos", ci=True, path=str(tmp_path))
    assert done.returncode == 0
    assert "3 passed" in done.stdout
    assert "left out" not in done.stdout
