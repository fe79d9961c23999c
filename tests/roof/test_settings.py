"""Settings: every wrong one is named, all at once, and no secret is ever shown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcactors.environment import PREFIX, WrongSettings
from kcactors.settings import EVERYTHING, every_variable, load, secrets, unknown

RIGHT = {
    "KCACTORS_DATABASE_URL": "postgresql://kc:pg-password@127.0.0.1:5432/kc",
    "KCACTORS_REDIS_URL": "redis://:redis-password@127.0.0.1:6379/0",
    "KCACTORS_KAFKA_BOOTSTRAP": "127.0.0.1:9092,127.0.0.1:9093",
    "KCACTORS_JWT_SECRET": "jwt-secret-that-nobody-may-see",
}
EVERY = every_variable()
NUMBERS = [
    each for each in EVERY if isinstance(each.default, int | float) and not isinstance(each.default, bool)
]
REQUIRED = [each.name for each in EVERY if each.required]


def problems(environ, needs=EVERYTHING):
    with pytest.raises(WrongSettings) as wrong:
        load(environ, needs)
    return {problem.name: problem.text for problem in wrong.value.problems}


def test_the_defaults_stand_with_only_the_required_ones_set():
    settings = load(RIGHT)
    assert settings.http.port == 8000
    assert settings.gateway.sessions == 100_000
    assert settings.kafka.payment_topic == "payment-events"
    assert settings.node.id


def test_all_missing_ones_are_named_at_once():
    assert set(problems({})) == {*REQUIRED, "KCACTORS_JWT_SECRET"}


def test_an_empty_text_counts_as_not_set():
    assert set(problems(dict.fromkeys([each.name for each in EVERY], "  "))) == {
        *REQUIRED,
        "KCACTORS_JWT_SECRET",
    }


@given(
    st.sets(st.sampled_from(NUMBERS), min_size=1),
    st.sampled_from(["x", "-1", "nan", "inf", "1e30", "1,2", "٣x"]),
)
def test_every_wrong_number_is_named_with_what_was_expected(wrong, text):
    wrong = {each for each in wrong if not (each.field == "replication" and text == "-1")}
    found = problems({**RIGHT, **{each.name: text for each in wrong}}) if wrong else {}
    assert set(found) == {each.name for each in wrong}
    assert all("expected a" in said and "number" in said for said in found.values())


@given(st.sampled_from(NUMBERS), st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_taken_as_it_is_or_named(variable, number):
    named, taken = [], []
    try:
        settings = load({**RIGHT, variable.name: repr(number)})
        groups = [getattr(settings, name) for name in EVERYTHING]
        taken = [getattr(group, variable.field) for group in groups if hasattr(group, variable.field)]
    except WrongSettings as wrong:
        named = [problem.name for problem in wrong.problems]
    assert named == [variable.name] or (number in taken and math.isfinite(number))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KCACTORS_DATABASE_URL", "mysql://kc:pg-password@host/kc"),
        ("KCACTORS_REDIS_URL", "http://:redis-password@host"),
        ("KCACTORS_KAFKA_BOOTSTRAP", "no-port"),
        ("KCACTORS_KAFKA_API_VERSION", "two"),
        ("KCACTORS_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("KCACTORS_LOG_FORMAT", "xml"),
        ("KCACTORS_JWKS_URL", "ftp://keys"),
        ("KCACTORS_ALLOWED_ORIGINS", "https://fine.example, not an origin"),
        ("PORT", "65536"),
    ],
)
def test_a_wrong_text_is_named_and_a_password_in_it_is_not_repeated(name, text):
    found = problems({**RIGHT, name: text})
    assert set(found) == {name}
    assert "expected" in found[name]
    assert "password" not in found[name].replace("user:password@host", "")


def test_a_sasl_protocol_needs_its_three_settings():
    found = problems({**RIGHT, "KCACTORS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})
    assert set(found) == {f"KCACTORS_KAFKA_SASL_{part}" for part in ("MECHANISM", "USERNAME", "PASSWORD")}


def test_a_key_address_stands_in_for_the_secret():
    environ = {name: text for name, text in RIGHT.items() if name != "KCACTORS_JWT_SECRET"}
    assert load({**environ, "KCACTORS_JWKS_URL": "https://id.example/keys"}).auth.jwt_secret is None


def test_only_what_is_needed_is_looked_at():
    only_auth = frozenset({"auth"})
    settings = load({"KCACTORS_JWT_SECRET": "s", "PORT": "nonsense"}, only_auth)
    assert settings.auth.jwt_secret == "s"
    assert set(problems({"PORT": "nonsense"}, only_auth)) == {"KCACTORS_JWT_SECRET"}


def test_webhook_secrets_may_be_several_and_a_provider_without_any_is_absent():
    settings = load({**RIGHT, "KCACTORS_WEBHOOK_SECRETS_KC": "new, old"})
    assert settings.webhook.by_provider() == {"kc": ("new", "old")}


def test_no_secret_shows_in_the_text_of_the_settings():
    environ = {
        **RIGHT,
        "KCACTORS_WEBHOOK_SECRETS_KC": "hook-one,hook-two",
        "KCACTORS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KCACTORS_KAFKA_SASL_MECHANISM": "PLAIN",
        "KCACTORS_KAFKA_SASL_USERNAME": "kc",
        "KCACTORS_KAFKA_SASL_PASSWORD": "kafka-password",
    }
    settings = load(environ)
    shown = repr(settings) + str(settings) + repr(settings.kafka.broker())
    hidden = ["pg-password", "redis-password", "jwt-secret", "hook-one", "hook-two", "kafka-password"]
    assert not [secret for secret in hidden if secret in shown]
    assert {"hook-one", "hook-two", "kafka-password", RIGHT["KCACTORS_JWT_SECRET"]} <= set(secrets(settings))


def test_a_misspelt_name_is_found():
    assert unknown({**RIGHT, "KCACTORS_LEDGER_CONT": "3", "OTHER": "x"}) == ["KCACTORS_LEDGER_CONT"]


def test_every_name_is_ours_and_means_one_thing():
    names = [each.name for each in EVERY]
    assert len(names) == len(set(names))
    assert all(name.startswith(PREFIX) or name == "PORT" for name in names)
