"""`leverframe tests`: what a CI job sends of its tests. Needs no settings, and starts quickly."""

import gzip
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leverframe.cli import tests_run
from leverframe.cli.exits import exit_code
from leverframe.cli.output import AsJson, complain, print_json, print_table
from leverframe.model.errors import BadInput, LeverframeError, NotFound, Refused, Unavailable

if TYPE_CHECKING:
    import httpx

app = typer.Typer(
    help="Tests of a CI job: forgive what is quarantined, and send the reports.", no_args_is_help=True
)

TRIES = 6
LONGEST_PAUSE = 20.0
"""Seconds; the pauses double from one second on, or are what the gateway asks for."""
ANSWER_SECONDS = 150.0
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of one file."""

    file: str
    report: str = ""
    attempts: int = 0
    new: bool = False
    complaints: tuple[str, ...] = ()
    error: str = ""


app.command()(tests_run.run)


@app.command()
def upload(
    files: Annotated[
        list[Path], typer.Argument(help="JUnit XML, or JSON lines of our pytest plugin, gzipped or not.")
    ],
    *,
    url: Annotated[
        str, typer.Option("--url", envvar="LEVERFRAME_URL", help="Address of the gateway.")
    ] = "http://127.0.0.1:8400",
    repository: Annotated[
        str,
        typer.Option(
            "--repository", envvar="LEVERFRAME_REPOSITORY", help="As it is declared; not the forge's name."
        ),
    ],
    token_env: Annotated[
        str, typer.Option("--token-env", help="The variable that holds the repository's token.")
    ] = "LEVERFRAME_TESTS_TOKEN",  # noqa: S107 - the name of a variable
    run: Annotated[str, typer.Option("--run", help="Names this run of the suite; no other run has it.")] = "",
    sha: Annotated[str, typer.Option("--sha", help="The commit that the tests ran on.")] = "",
    branch: Annotated[str, typer.Option("--branch", help="The branch of the commit.")] = "",
    job: Annotated[str, typer.Option("--job", help="Which part of the run this is.")] = "",
    variant: Annotated[
        str,
        typer.Option(
            "--variant",
            help="Of a matrix: what tells its jobs apart, such as `windows, 3.13`. Part of the names.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Send test reports to the gateway; the same report, sent again, counts once.

    What is not given is taken from LEVERFRAME_RUN, LEVERFRAME_SHA, LEVERFRAME_BRANCH and LEVERFRAME_JOB, then
    from the variables of GitHub Actions and GitLab CI, then from git; JSON lines say it themselves. All files
    are tried; the exit code is that of the first one that failed.
    """
    import httpx  # noqa: PLC0415 - `--help` does not need it

    token = os.environ.get(token_env, "")
    if not token:
        raise BadInput(f"{token_env} is not set: put the repository's token of gateway.tests.tokens there")
    given = {"run": run, "sha": sha, "branch": branch, "job": job, "variant": variant}
    sent, failed = list[Sent](), None
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=ANSWER_SECONDS) as client:
        for path in files:
            try:
                sent.append(_upload(client, path, repository, given, time.sleep))
            except LeverframeError as error:
                failed = failed or error
                sent.append(Sent(file=str(path), error=str(error)))
    _tell(sent, as_json=as_json)
    if failed is not None:
        raise typer.Exit(exit_code(failed))


def _upload(
    client: "httpx.Client", path: Path, repository: str, given: dict[str, str], sleep: Callable[[float], None]
) -> Sent:
    body = _content(path)
    facts = given if _says_its_run(body) else _filled(given)
    answer = send(client, body, f"/tests/{repository}", facts, sleep)
    return Sent(
        file=str(path),
        report=str(answer.get("report", "")),
        attempts=int(answer.get("attempts", 0)),
        new=bool(answer.get("new")),
        complaints=tuple(map(str, answer.get("complaints", ()))),
    )


def _content(path: Path) -> bytes:
    """Raises BadInput for a file that can't be read or is too large to be taken."""
    from leverframe.reports.reading import MAX_BYTES  # noqa: PLC0415

    try:
        with path.open("rb") as opened:
            body = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror or error}") from error
    if len(body) > MAX_BYTES:
        raise BadInput(f"{path} is larger than {MAX_BYTES:,} bytes: send it in parts, job by job")
    return body


def _says_its_run(body: bytes) -> bool:
    """Whether these are JSON lines; a gzipped file is looked into by its first bytes."""
    start = body[:1024]
    if body.startswith(_GZIP):
        try:
            start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, 1024)
        except zlib.error:
            return False
    return start.lstrip().startswith(b"{")


def _filled(given: dict[str, str]) -> dict[str, str]:
    """What was given, and what the environment says besides. Raises BadInput when the run is not known."""
    from leverframe_pytest.results import NotKnown, this_run  # noqa: PLC0415

    told = {f"LEVERFRAME_{name.upper()}": value for name, value in given.items() if value}
    try:
        found = this_run({**os.environ, **told}, Path.cwd())
    except NotKnown as error:
        raise BadInput(f"{error}, or give --run and --sha") from error
    return {**asdict(found), "variant": given["variant"]}


def send(
    client: "httpx.Client", body: bytes, path: str, facts: dict[str, str], sleep: Callable[[float], None]
) -> dict[str, Any]:
    """The gateway's answer, asked again while it is away.

    Raises:
        BadInput: the report can't be used. Refused: the token is wrong. NotFound: nobody takes reports there.
        Unavailable: no answer after all tries.
    """
    import httpx  # noqa: PLC0415

    packed = {} if body.startswith(_GZIP) else {"Content-Encoding": "gzip"}
    content = gzip.compress(body, 6, mtime=0) if packed else body
    params = {name: value for name, value in facts.items() if value}
    for attempt in range(TRIES):
        wait = min(2.0**attempt, LONGEST_PAUSE)
        try:
            answer = client.post(path, content=content, params=params, headers=packed)
        except httpx.HTTPError as error:
            said = f"{type(error).__name__}: {error}"
        except httpx.InvalidURL as error:
            raise BadInput(f"{client.base_url} is no address of a gateway: {error}") from error
        else:
            if answer.status_code not in _LATER:
                return _taken(answer)
            said = f"{answer.status_code}: {_detail(answer)}"
            asked = answer.headers.get("retry-after", "")
            wait = min(float(asked), LONGEST_PAUSE) if asked.isascii() and asked.isdigit() else wait
        if attempt + 1 < TRIES:
            sleep(wait)
    raise Unavailable(f"the gateway at {client.base_url} did not take it in {TRIES} tries: {said}")


def _taken(answer: "httpx.Response") -> dict[str, Any]:
    said = _detail(answer)
    match answer.status_code:
        case 202:
            try:
                told = answer.json()
            except ValueError as error:
                raise Unavailable("what answers there is no gateway") from error
            return told if isinstance(told, dict) else {}
        case 401 | 403:
            raise Refused(said)
        case 404:
            raise NotFound(f"no reports are taken at {answer.url.copy_with(query=None)}: {said}")
        case _:
            raise BadInput(f"{said} (status {answer.status_code})")


def _detail(answer: "httpx.Response") -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return "the answer is none of our gateway"


def _tell(sent: list[Sent], *, as_json: bool) -> None:
    for one in sent:
        for complaint in one.complaints:
            complain(f"{one.file}: {complaint}")
        if one.error:
            complain(f"{one.file}: {one.error}")
    if as_json:
        print_json([asdict(one) for one in sent])
    else:
        print_table(
            ("FILE", "ATTEMPTS", "REPORT", ""),
            [
                (
                    one.file,
                    one.attempts,
                    one.report[:12],
                    "not sent" if one.error else "new" if one.new else "known",
                )
                for one in sent
            ],
            empty="No file was given.",
        )
