"""Pages and files that say what the code says."""

import subprocess
from pathlib import Path

import pytest
from honcho import environ

from kcactors.settings_page import page

ROOT = Path(__file__).parents[2]
PROCESSES = environ.parse_procfile((ROOT / "Procfile").read_text()).processes


def test_the_page_of_settings_is_the_settings():
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written == page(), "write it anew: python -m kcactors.settings_page > docs/settings.md"


@pytest.mark.parametrize("name", ["release", "node"])
def test_every_command_of_the_procfile_is_a_verb_of_ours(name):
    command = f"{PROCESSES[name]} --help"
    ended = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(("env", "first"), [("PORT=8300\nX=a=b,c\n", 8300), ("X=a=b,c\n", 5000)])
def test_honcho_gives_each_node_a_port_of_its_own(env, first):
    nodes = environ.expand_processes(
        {"node": PROCESSES["node"]}, concurrency={"node": 3}, env=environ.parse(env), port=5000
    )
    assert [each.env["PORT"] for each in nodes] == [str(first + number) for number in range(3)]
    assert {each.env["X"] for each in nodes} == {"a=b,c"}
