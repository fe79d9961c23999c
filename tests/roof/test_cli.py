"""The command line: exit codes, what goes to which stream, and one JSON object where JSON was asked for."""

import json
import os
import subprocess
import sys
import uuid

import jwt
import pytest

from kcactors.cli import run

SECRET = "a-secret-of-more-than-32-characters-for-hs256"
NOWHERE = "127.0.0.1:1"
DEAD = {
    "KCACTORS_DATABASE_URL": f"postgresql://kc:hidden-pw@{NOWHERE}/kc",
    "KCACTORS_REDIS_URL": f"redis://:hidden-pw@{NOWHERE}/0",
    "KCACTORS_KAFKA_BOOTSTRAP": NOWHERE,
    "KCACTORS_KAFKA_API_VERSION": "2.1",
    "KCACTORS_JWT_SECRET": SECRET,
}


@pytest.fixture
def environ(monkeypatch):
    """Sets exactly these variables of ours."""

    def only(**settings):
        for name in [*os.environ]:
            if name.startswith("KCACTORS_") or name == "PORT":
                monkeypatch.delenv(name)
        for name, text in settings.items():
            monkeypatch.setenv(name, text)

    only()
    return only


@pytest.fixture
def command(capsys):
    """Runs a command in this process: exit code, standard output, standard error."""

    def call(*words):
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    return call


def one_object(text):
    """The only JSON object in the text, which must be all of it."""
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return json.loads(text)


VERBS = [
    ["node"], ["dev"], ["demo"], ["migrate"], ["check"], ["catalog"], ["catalog", "import"], ["catalog", "export"],
    ["token"], ["loadtest"],
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help(command, verb):
    code, out, _ = command(*verb, "--help")
    assert code == 0
    assert "Usage" in out


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["node", "--port", "many"],
        ["node", "--port", "70000"],
        ["node", "--roles", "ingest,cook"],
        ["dev", "--nodes", "-1"],
        ["demo", "--payments", "0"],
        ["token"],
        ["token", "--operator", "--student", str(uuid.UUID(int=1))],
        ["token", "--student", "nobody"],
        ["token", "--operator", "--ttl", "0"],
        ["catalog", "import"],
        ["loadtest"],
        ["loadtest", "--kafka", "--rate", "fast"],
        ["loadtest", "--kafka", "--sessions", "3"],
        ["loadtest", "--kafka", "--pattern", "sometimes"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_2_and_says_why_on_standard_error(command, environ, words):
    environ(**DEAD)
    code, out, err = command(*words)
    assert code == 2
    assert out == ""
    assert err


@pytest.mark.parametrize(
    "verb", [["node"], ["migrate"], ["check"], ["catalog", "export"], ["loadtest", "--kafka"]]
)
def test_missing_settings_are_2_and_named_all_at_once(command, environ, verb):
    code, _, err = command(*verb)
    assert code == 2
    assert "KCACTORS_DATABASE_URL" in err
    assert ("KCACTORS_KAFKA_BOOTSTRAP" in err) == (verb[0] != "catalog")


def test_wrong_settings_as_json(command, environ):
    environ(**{**DEAD, "KCACTORS_LOG_FORMAT": "xml", "PORT": "x"})
    code, out, _ = command("check", "--json")
    document = one_object(out)
    assert code == 2
    assert document["ok"] is False
    assert {problem["name"] for problem in document["problems"]} == {"KCACTORS_LOG_FORMAT", "PORT"}


def test_a_service_that_is_away_is_3_and_named(command, environ):
    environ(**DEAD)
    code, out, err = command("migrate", "--json")
    document = one_object(out)
    assert code == 3
    assert document["service"] == "PostgreSQL"
    assert "hidden-pw" not in out + err


def test_check_names_every_service_that_is_away(command, environ):
    environ(**DEAD)
    code, out, err = command("check", "--json")
    document = one_object(out)
    assert code == 3
    assert {each["service"]: each["reachable"] for each in document["services"]} == {
        "PostgreSQL": False,
        "Redis": False,
        "Kafka": False,
    }
    assert "hidden-pw" not in out + err


def test_check_and_migrate_on_real_services(
    command, environ, empty_database_url, redis_url, kafka_broker, kafka_bootstrap, kafka_api_version
):
    topics = [f"{stem}-{uuid.uuid4().hex}" for stem in ("in", "out")]
    environ(
        KCACTORS_DATABASE_URL=empty_database_url,
        KCACTORS_REDIS_URL=redis_url,
        KCACTORS_KAFKA_BOOTSTRAP=kafka_bootstrap,
        KCACTORS_KAFKA_API_VERSION=kafka_api_version,
        KCACTORS_KAFKA_PAYMENT_TOPIC=topics[0],
        KCACTORS_KAFKA_BUSINESS_TOPIC=topics[1],
        KCACTORS_JWT_SECRET=SECRET,
        KCACTORS_LEDGER_CONT="3",
    )
    try:
        code, out, _ = command("check", "--json")
        before = one_object(out)
        assert code == 1
        assert all(topic in out for topic in topics)
        assert before["unknown_settings"] == ["KCACTORS_LEDGER_CONT"]
        assert {each["service"] for each in before["services"] if not each["ok"]} == {"PostgreSQL", "Kafka"}

        code, out, _ = command("migrate", "--json")
        first = one_object(out)
        assert code == 0
        assert sorted(first["topics_created"]) == sorted(topics)
        assert first["applied"]

        code, out, _ = command("migrate", "--json")
        again = one_object(out)
        assert (code, again["applied"], again["topics_created"]) == (0, [], [])
        assert again["epoch"] == first["epoch"]
        assert one_object(command("migrate", "--new-epoch", "--json")[1])["epoch"] != first["epoch"]

        code, out, _ = command("check", "--json")
        assert (code, one_object(out)["ok"]) == (0, True)
        code, out, _ = command("check")
        assert (code, out.count("ok  ")) == (0, 3)
    finally:
        for topic in topics:
            kafka_broker.delete_topic(topic)


def test_token_prints_only_the_token(command, environ):
    environ(KCACTORS_JWT_SECRET=SECRET, KCACTORS_JWT_AUDIENCE="kc", KCACTORS_DATABASE_URL="nonsense")
    student = uuid.uuid4()
    code, out, err = command("token", "--student", str(student).upper(), "--ttl", "60")
    claims = jwt.decode(out.strip(), SECRET, algorithms=["HS256"], audience="kc")
    assert (code, err) == (0, "")
    assert claims["sub"] == str(student)
    assert claims["exp"] - claims["iat"] == 60
    assert "role" not in claims

    code, out, _ = command("token", "--operator")
    assert code == 0
    assert jwt.decode(out.strip(), SECRET, algorithms=["HS256"], audience="kc")["role"] == "operator"


def test_token_without_a_secret_cannot_sign(command, environ):
    environ(KCACTORS_JWKS_URL="https://id.example/keys")
    code, out, err = command("token", "--operator")
    assert (code, out) == (2, "")
    assert "KCACTORS_JWT_SECRET" in err


def test_the_module_is_the_command():
    ended = subprocess.run(
        [sys.executable, "-m", "kcactors", "token"], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert "--student" in ended.stderr
