"""The JavaScript client, by Node's own test runner, and its size."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CLIENT = ROOT / "gateway" / "client" / "kcactors.js"


@pytest.mark.node_js
def test_the_suite_of_the_javascript_client_passes():
    suite = Path(__file__).parent / "client.test.mjs"
    done = subprocess.run(
        ["node", "--test", str(suite)], capture_output=True, text=True, check=False, timeout=80
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"^# pass (\d+)$", done.stdout, re.MULTILINE)[0]) > 50


def test_it_is_small():
    assert len(gzip.compress(CLIENT.read_bytes(), 9)) < 6 * 1024


def test_what_it_exports_is_declared():
    exported = set(re.findall(r"^export function (\w+)", CLIENT.read_text(), re.MULTILINE))
    declared = set(
        re.findall(r"^export function (\w+)", CLIENT.with_suffix(".d.ts").read_text(), re.MULTILINE)
    )
    assert exported == declared == {"createRealtime", "cursorStore", "studentStore"}
    assert "import " not in CLIENT.read_text(), "no dependencies"
