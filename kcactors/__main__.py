"""``python -m kcactors`` is the command ``kcactors``."""

from kcactors.cli import main

main()
