"""``kcactors catalog``: a document in, the same document out, and a clear word about a bad one."""

import io
import json
import uuid

import pytest

from kcactors.cli import run
from kcactors.load.catalogue import document

SMALL = document(courses=3, trainers=4, capacity=5)


@pytest.fixture
def catalog(monkeypatch, capsys, database_url, tmp_path):
    """Runs ``kcactors catalog`` with a document in a file: exit code, standard output, standard error."""
    monkeypatch.setenv("KCACTORS_DATABASE_URL", database_url)

    def call(words, content=None):
        if content is not None:
            file = tmp_path / "catalog.json"
            file.write_text(content if isinstance(content, str) else json.dumps(content))
            words = [*words, str(file)]
        code = run(["catalog", *words])
        return int(code), *capsys.readouterr()

    return call


def test_what_goes_in_comes_out_and_a_second_time_changes_nothing(catalog):
    code, out, _ = catalog(["import", "--json"], SMALL)
    assert code == 0
    assert json.loads(out)["changed"] == {"courses": 3, "trainers": 4, "eligibility": 4}
    code, out, _ = catalog(["import", "--json"], SMALL)
    assert json.loads(out)["changed"] == {"courses": 0, "trainers": 0, "eligibility": 0}
    exported = json.loads(catalog(["export"])[1])

    def in_order(made):
        return {name: sorted(made[name], key=str) for name in ("courses", "trainers")}

    assert in_order(exported) == in_order(SMALL)
    assert catalog(["import"], exported)[0] == 0


def test_it_reads_standard_input(catalog, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(SMALL).encode())))
    assert catalog(["import", "-"])[0] == 0


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("no json", "JSON"),
        ({"courses": []}, "trainers"),
        ({"courses": [{"course_id": "x", "title": "t"}], "trainers": []}, "courses[0].course_id"),
        ({**SMALL, "trainers": [{**SMALL["trainers"][0], "capacity": -1}]}, "trainers[0].capacity"),
        ({**SMALL, "trainers": [{**SMALL["trainers"][0], "courses": [str(uuid.UUID(int=9))]}]}, ""),
        ({**SMALL, "courses": [*SMALL["courses"], SMALL["courses"][0]]}, "courses[3]"),
    ],
)
def test_a_bad_document_is_wrong_use_that_names_the_field(catalog, content, named):
    code, out, err = catalog(["import"], content)
    assert (code, out) == (2, "")
    assert named in err
    assert json.loads(catalog(["export"])[1]) == {"courses": [], "trainers": []}


def test_a_file_that_is_not_there_is_wrong_use(catalog):
    code, _, err = catalog(["import", "/nowhere/catalog.json"])
    assert code == 2
    assert "/nowhere/catalog.json" in err
