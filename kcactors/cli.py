"""The command line: reads words, hands them to the verb, and turns what happened into an exit code."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from typer import Argument, Option

from kcactors.exits import Exit
from kcactors.load.plan import Pattern
from kcactors.operator_cli import register
from kcactors.output import Output

app = typer.Typer(
    name="kcactors",
    help="Turns payments into what the customer paid for: in real time, exactly once.",
    epilog="Exit codes: 0 done, 1 a check failed or findings stand, 2 wrong use or settings, 3 a service is away.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
catalog = typer.Typer(help="Courses and trainers.", no_args_is_help=True)
app.add_typer(catalog, name="catalog")
register(app)

Json = Annotated[bool, Option("--json", help="Print exactly one JSON object on standard output.")]


@app.command()
def node(
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, Option(min=0, max=65535, help="Port to listen on; default: PORT, else 8000.")
    ] = None,
    roles: Annotated[
        str, Option(help="Which of ingest,gateway,projections run here.")
    ] = "ingest,gateway,projections",
) -> None:
    """Run one node: all actors and the gateway in one process."""
    from kcactors.verbs.node import run

    raise typer.Exit(run(host=host, port=port, roles=roles))


@app.command()
def dev(
    port: Annotated[
        int, Option(min=0, max=65535, help="Port of the first node; node i listens on port + i.")
    ] = 8000,
    nodes: Annotated[int, Option(min=0, max=32, help="Nodes to run; 0: services only.")] = 1,
    data_dir: Annotated[Path, Option(help="Where the data of PostgreSQL stay.")] = Path(".kcactors/dev"),
) -> None:
    """Run embedded PostgreSQL, Redis and Kafka, and nodes beside them."""
    from kcactors import logs
    from kcactors.dev import run_dev

    logs.configure()
    raise typer.Exit(run_dev(port=port, nodes=nodes, data_dir=data_dir))


@app.command()
def demo(
    payments: Annotated[int, Option(min=2, max=1_000_000, help="Distinct payments.")] = 2000,
    students: Annotated[int, Option(min=1, max=1_000_000, help="Students who pay.")] = 200,
    duplicates: Annotated[float, Option(min=0, max=100, help="Duplicate deliveries for each payment.")] = 1.0,
    seed: Annotated[int, Option(help="Of everything that is drawn.")] = 1,
    as_json: Json = False,
) -> None:
    """Do the main job on embedded services, measure it, and check the promise."""
    from kcactors import logs
    from kcactors.verbs import load

    logs.configure(level="WARNING")
    output = Output(as_json=as_json)
    code = load.demonstrate(output, payments=payments, students=students, duplicates=duplicates, seed=seed)
    raise typer.Exit(code)


@app.command()
def loadtest(  # noqa: PLR0913, PLR0917 - one argument for each word of the command line
    target: Annotated[list[str] | None, Option(metavar="URL", help="A node; repeat it for several.")] = None,
    kafka: Annotated[bool, Option("--kafka", help="Send by Kafka; with --target, half and half.")] = False,
    payments: Annotated[int, Option(min=1, max=10_000_000, help="Distinct payments.")] = 10_000,
    students: Annotated[int, Option(min=1, max=10_000_000, help="Students who pay.")] = 2_000,
    duplicates: Annotated[
        float, Option(min=0, max=1000, help="Duplicate deliveries for each payment.")
    ] = 1.0,
    pattern: Annotated[Pattern, Option(help="When duplicates come.")] = Pattern.INTERLEAVED,
    zipf: Annotated[float, Option(min=0, max=5, help="0: all students alike; above: few pay most.")] = 0.0,
    rate: Annotated[str, Option(metavar="N|max", help="Deliveries a second.")] = "max",
    sessions: Annotated[int, Option(min=0, max=100_000, help="Open WebSocket sessions that watch.")] = 0,
    idle: Annotated[
        float | None,
        Option(
            min=0.1,
            max=86_400,
            metavar="SECONDS",
            help="With --pattern late: the silence after which a node puts a student away; default: its setting.",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write a page with plots: one HTML file, needs nothing else."),
    ] = None,
    seed: Annotated[int, Option(help="Of everything that is drawn.")] = 1,
    as_json: Json = False,
) -> None:
    """Load a running node or cluster with duplicated payments, and check the promise."""
    from kcactors import logs
    from kcactors.loadtest import Order
    from kcactors.verbs import load

    logs.configure(level="WARNING")
    order = Order(
        targets=target or [],
        kafka=kafka,
        payments=payments,
        students=students,
        duplicates=duplicates,
        pattern=pattern,
        zipf=zipf,
        rate_per_s=load.rate(rate),
        sessions=sessions,
        seed=seed,
        idle_s=idle,
    )
    raise typer.Exit(load.put_load_on(Output(as_json=as_json), order, page))


@app.command()
def migrate(
    new_epoch: Annotated[
        bool, Option("--new-epoch", help="After a restore from backup: reset the cursor of every client.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring schema and topics up to date; safe from many nodes at once."""
    from kcactors.verbs import schema

    raise typer.Exit(schema.bring_up_to_date(Output(as_json=as_json), new_epoch=new_epoch))


@app.command()
def check(as_json: Json = False) -> None:
    """Prove the settings, that every service is reachable, and that every topic is there."""
    from kcactors.verbs import schema

    raise typer.Exit(schema.check(Output(as_json=as_json)))


@catalog.command("import")
def catalog_import(
    file: Annotated[Path, Argument(help="JSON of courses and trainers; - reads standard input.")],
    as_json: Json = False,
) -> None:
    """Put courses and trainers in; doing it twice changes nothing."""
    from kcactors.verbs import catalogue

    raise typer.Exit(catalogue.put(Output(as_json=as_json), file))


@catalog.command("export")
def catalog_export() -> None:
    """Print courses and trainers as one JSON object that `catalog import` reads."""
    from kcactors.verbs import catalogue

    raise typer.Exit(catalogue.show())


@app.command()
def token(
    student: Annotated[str | None, Option(metavar="ID", help="For this student.")] = None,
    operator: Annotated[bool, Option("--operator", help="For an operator.")] = False,
    ttl: Annotated[
        int, Option(min=1, max=31_536_000, metavar="SECONDS", help="How long it is valid.")
    ] = 3600,
) -> None:
    """Mint a token with the configured secret; prints only the token."""
    from kcactors.verbs import tokens

    print(tokens.token(student=student, operator=operator, ttl_s=ttl))


@app.command()
def top(
    target: Annotated[
        str | None, Option(metavar="URL", help="A node; default: the one on this machine at PORT.")
    ] = None,
    token_file: Annotated[
        Path | None, Option(help="An operator's token; default: minted with the configured secret.")
    ] = None,
    order: Annotated[str, Option(help="Of the actors: oldest, depth or restarts.")] = "oldest",
    every: Annotated[float, Option(min=0.5, max=60, metavar="SECONDS", help="Between two looks.")] = 2.0,
    once: Annotated[bool, Option("--once", help="Look once, as in a pipe.")] = False,
    as_json: Json = False,
) -> None:
    """Actor health of the cluster in the terminal, until Ctrl-C."""
    from kcactors.verbs import top as verb

    output = Output(as_json=as_json)
    raise typer.Exit(
        verb.top(output, target=target, token_file=token_file, order=order, every_s=every, once=once)
    )


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; every error has been told on standard error by then."""
    try:
        code: Any = app(arguments, prog_name="kcactors", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:  # noqa: BLE001 - whatever it is, it becomes an exit code and a line for a person
        return _fail(error, as_json="--json" in arguments)
    return code if isinstance(code, int) else Exit.DONE


def _fail(error: Exception, *, as_json: bool) -> int:
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # what typer says of wrong words
        error.show()
        return Exit.WRONG_USE
    from kcactors.verbs.trouble import as_failure

    failure = as_failure(error)
    if failure is None:
        traceback.print_exception(error)
        return Exit.NOT_KEPT
    print(f"kcactors: {failure}", file=sys.stderr)
    if as_json:
        print(msgspec.json.encode(failure.report()).decode())
    return failure.code


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
