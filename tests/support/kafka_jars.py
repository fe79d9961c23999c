"""Apache Kafka's jars, brought from Maven Central once and kept beside the checkout."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
CACHE = Path(__file__).parents[2] / ".kcactors" / "apache-kafka"
_DOWNLOAD_S = 300


class JarsMissing(Exception):
    """The jars are neither here nor can they be had now."""


def jars() -> Path:
    """The folder with the server's jars; downloads them when ``pom.xml`` names others than were kept.

    Raises:
        JarsMissing: Maven could not bring them.
    """
    kept = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    if kept.is_dir():
        return kept
    maven = shutil.which("mvn")
    if maven is None:
        raise JarsMissing("Maven is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
        command = [maven, "-B", "-q", "-ntp", "-f", str(POM), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={fresh}/jars", "-DincludeScope=runtime"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise JarsMissing(f"Maven did not bring them within {_DOWNLOAD_S} s") from error
        if said.returncode:
            raise JarsMissing(f"Maven could not bring them: {(said.stdout + said.stderr).strip()[-500:]}")
        try:
            # All or none: two runs may download at once, and either may be interrupted.
            Path(fresh, "jars").rename(kept)
        except OSError:
            if not kept.is_dir():
                raise
    return kept


def class_path(extra: str = "") -> str:
    """For ``java -cp``."""
    return os.pathsep.join(filter(None, [extra, f"{jars()}/*"]))
