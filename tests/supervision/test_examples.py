"""The example programs and the code in the README run, and give what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import supervision
from supervision.examples import rehearsal, till

ROOM = Path(supervision.__file__).parent
BLOCKS = re.findall(
    r"```python\n(.*?)```\n+prints\n+```\n(.*?)```", (ROOM / "README.md").read_text(), re.DOTALL
)


def test_the_till_balances():
    assert till.main() == {
        "pages": 999,
        "cents": 99_900,
        "bad": [("customer-0", ("pay", -5))],
        "error": 0,
    }


def test_the_rehearsal_repeats_itself():
    handled, restarts, seconds = rehearsal.main(seed=7)
    assert (handled, restarts, seconds) == rehearsal.main(seed=7)
    assert handled + restarts in range(3500, 3601)
    assert seconds == 3600.0
    assert rehearsal.main(seed=8) != (handled, restarts, seconds)


def test_the_readme_has_programs():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_readme_tells_the_truth(number):
    program, printed = BLOCKS[number]
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOM.parent,
    )
    assert done.stdout == printed
