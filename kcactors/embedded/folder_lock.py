"""One living owner of a folder. The kernel lets go of the lock when the owner dies, however that happens."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kcactors.embedded.errors import DataDirInUse


class FolderLock:
    """The lock of a folder, held from `take` to `release`; both may be called twice."""

    def __init__(self, folder: Path, name: str = "lock") -> None:
        self._folder = folder
        self._path = folder / name
        self._descriptor: int | None = None

    def take(self) -> None:
        """Make the folder this process's.

        Raises:
            DataDirInUse: another living process has it.
        """
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise DataDirInUse(
                f"{self._folder} is in use by another process that is still running"
            ) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
