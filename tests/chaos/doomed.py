"""A node that kills itself where a fail point says so: ``python -m tests.chaos.doomed POINT NTH node …``."""

import itertools
import os
import signal
import sys

from actors import failpoint
from kcactors.cli import main


def doom(point: str, nth: int) -> None:
    """Die when the point is reached for the nth time."""
    assert point in failpoint.POINTS, point
    reached = itertools.count(1)

    def look(here: str) -> None:
        if here == point and next(reached) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoint.install(look)


if __name__ == "__main__":
    doom(sys.argv[1], int(sys.argv[2]))
    sys.argv[1:3] = []
    main()
