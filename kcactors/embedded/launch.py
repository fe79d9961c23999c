"""Between fork and exec: gives up root, asks the kernel for a signal when the owner dies, becomes the server.

A program of its own (``python -I -S launch.py OPTIONS -- ARGV``), because code that runs between fork and exec in a
process with threads can hang on a lock that another thread held at the fork. It must import nothing from kcactors.
"""

import argparse
import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="launch")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--owner", type=int, required=True, help="process id of the one who wants the server")
    parser.add_argument("--death-signal", type=int, default=0)
    parser.add_argument("argv", nargs="+")
    options = parser.parse_args()
    if options.uid is not None:
        os.setgroups([])
        os.setgid(options.gid)
        os.setuid(options.uid)
    # After the change of user, which clears it.
    if options.death_signal and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, options.death_signal)
        # The owner may have died before the request stood.
        if os.getppid() != options.owner:
            sys.exit("the process that wanted this server is gone")
    os.execv(options.argv[0], options.argv)  # noqa: S606  the argv comes from our own process


if __name__ == "__main__":
    main()
