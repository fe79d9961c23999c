"""How root runs a server that refuses root: as another user, in folders that this user can reach.

No permission of a folder that we did not make is ever changed. Where the wanted folder lies below one that the other
user cannot pass (a home folder, a private temporary folder), a shelter outside takes its place.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

from kcactors.embedded.errors import ServerFailed
from kcactors.embedded.process import Account


def account_for(data: Path) -> Account | None:
    """The user that a server of this data folder has to run as; None where we are not root and it is ourselves.

    Existing data decide by their owner, so that a machine that gains or loses users keeps its data.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid)
    users = {user.pw_name: user for user in pwd.getpwall() if user.pw_uid != 0}
    if not users:
        raise ServerFailed("PostgreSQL", "refuses to run as root, and this machine has no other user")
    user = users.get("nobody") or next(iter(users.values()))
    return Account(user.pw_uid, user.pw_gid)


def can_reach(account: Account | None, path: Path) -> bool:
    """Whether this user may pass every existing folder on the way to ``path``, and run it if it is a program."""
    if account is None:
        return True
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    last = 0o1 if existing.is_dir() else 0o5
    return _may(account, existing, last) and all(_may(account, folder, 0o1) for folder in existing.parents)


def _may(account: Account, path: Path, wanted: int) -> bool:
    status = path.stat()
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return (stat.S_IMODE(status.st_mode) >> shift) & wanted == wanted


def shelter(account: Account, name: str) -> Path:
    """A folder of ours, with this name, that the user can pass. Made when it is not there.

    Raises:
        ServerFailed: there is no such place, or somebody else sits on the name.
    """
    # /var/tmp first: it outlives a restart of the machine.
    for place in dict.fromkeys((Path("/var/tmp"), Path(tempfile.gettempdir()), Path("/tmp"))):  # noqa: S108
        if not (place.is_dir() and can_reach(account, place)):
            continue
        folder = place / name
        folder.mkdir(mode=0o711, exist_ok=True)
        folder_status = folder.lstat()
        if not stat.S_ISDIR(folder_status.st_mode) or folder_status.st_uid != os.geteuid():
            raise ServerFailed("PostgreSQL", f"cannot use {folder}: it is not ours")
        folder.chmod(0o711)
        return folder
    raise ServerFailed("PostgreSQL", f"finds no folder that user {account.uid} can reach")


def shelter_name(data_dir: Path) -> str:
    """The name of the shelter for a data folder: the same for the same folder, different for others."""
    return "kcactors-" + hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
