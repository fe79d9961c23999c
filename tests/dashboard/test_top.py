import json

import pytest
from rich.console import Console

from actors.cluster.reporter import Cluster
from gateway.panels.cluster import cluster_route
from kcactors.cli import run
from kcactors.exits import ServiceAway, WrongUse
from kcactors.top import Window, drawn
from tests.dashboard.stand import TOKEN, Served, application, dashboard_over, verify
from tests.dashboard.test_rules import report


@pytest.fixture
def served(tree):
    cluster = Cluster(tree.system.now)
    cluster.hear({"a:1": report(at=1000.0), "b:1": report("b:1", at=900.0)}, 1000.0)
    route = cluster_route(cluster, "a:1", verify)
    with Served(application(dashboard_over(tree), [route])) as made:
        yield made


def test_it_shows_nodes_and_the_most_noticeable_actors(served, tree):
    tree.trouble()
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(drawn(Window(served.url, TOKEN).look("depth")))
    text = captured.get()
    assert "1 node, 1 lost" in text
    assert "lost 1.7 min" in text
    assert "core/ledger-1" in text
    assert "suspended" in text


def test_the_verb_prints_one_json_object_in_a_pipe(served, tmp_path, capsys):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    assert run(["top", "--target", served.url, "--token-file", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {one["id"]: one["state"] for one in document["nodes"]} == {"a:1": "up", "b:1": "lost"}
    assert run(["top", "--target", served.url, "--token-file", str(file)]) == 0
    assert "payments/s" in capsys.readouterr().out


def test_what_is_wrong_has_a_name(served, tmp_path, capsys):
    with pytest.raises(WrongUse, match="does not take the token"):
        Window(served.url, "forged").look("depth")
    with pytest.raises(ServiceAway):
        Window("http://127.0.0.1:1", TOKEN).look("depth")
    with pytest.raises(WrongUse):
        Window("ftp://somewhere", TOKEN)
    assert run(["top", "--target", served.url, "--token-file", str(tmp_path / "none")]) == 2
    assert run(["top", "--target", served.url, "--order", "colour"]) == 2
    (tmp_path / "token").write_text(TOKEN)
    assert run(["top", "--target", "http://127.0.0.1:1", "--token-file", str(tmp_path / "token")]) == 3
    capsys.readouterr()
