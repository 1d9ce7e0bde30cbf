"""The commands that talk to a running server: each a thin client of its HTTP routes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from skysail.cli.errors import FAILED, UsageError
from skysail.cli.local import File, load
from skysail.cli.values import read_input, read_label

if TYPE_CHECKING:
    from skysail.client import Client

__all__ = ["COMMANDS", "apply", "deploy", "observe", "predict", "rollback", "scale", "status", "why"]

_Url = Annotated[str, typer.Option(help="The data plane's address.")]
_AdminUrl = Annotated[str, typer.Option(help="The control plane's address.")]
_Token = Annotated[str | None, typer.Option(envvar="SKYSAIL_TOKEN", help="Bearer token, if the server asks for one.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
_App = Annotated[str, typer.Argument(metavar="APP", help="The application's name.", show_default=False)]
_Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.", show_default=False)]
_Context = Annotated[str | None, typer.Option(help="The query's context, such as a user.")]
_Timeout = Annotated[float, typer.Option(min=1, help="Seconds a version may take to load and answer.")]

_URL = "http://127.0.0.1:8000"
_ADMIN_URL = "http://127.0.0.1:8002"


def predict(
    app: _App,
    input: Annotated[str, typer.Argument(metavar="INPUT", help="JSON, or - for JSON in a pipe, @FILE in a file.")],
    context: _Context = None,
    deadline_ms: Annotated[float | None, typer.Option(help="A limit tighter than the objective.")] = None,
    url: _Url = _URL,
    token: _Token = None,
    as_json: _Json = False,
) -> None:
    """Ask an application for a prediction."""
    row = read_input(input)
    with _connect(token, url=url) as client:
        answer = client.predict(app, row, context=context, deadline_ms=deadline_ms)
    if as_json:
        told = asdict(answer).items()
        _print_json({key: value for key, value in told if value is not None or key not in ("set", "interval")})
    else:
        from skysail.cli.show import prediction_text  # noqa: PLC0415

        print(prediction_text(answer))


def observe(
    app: _App,
    prediction_id: Annotated[str | None, typer.Argument(metavar="ID", help="The prediction's id.")] = None,
    label: Annotated[str | None, typer.Option(help="The right answer: JSON, or else a string.")] = None,
    reward: Annotated[float | None, typer.Option(help="How good the answer was, from 0 to 1.")] = None,
    input: Annotated[str | None, typer.Option(help="The input in place of an id, as for predict.")] = None,
    context: _Context = None,
    url: _Url = _URL,
    token: _Token = None,
    as_json: _Json = False,
) -> None:
    """Tell how a prediction turned out.

    By --label or --reward, for a prediction's ID or for --input.
    """
    if (prediction_id is None) == (input is None):
        raise UsageError("give either the ID of a prediction or --input, and not both")
    if (label is None) == (reward is None):
        raise UsageError("give either --label or --reward, and not both")
    given: dict[str, Any] = {} if label is None else {"label": read_label(label)}
    if input is not None:
        given["input"] = read_input(input)
    with _connect(token, url=url) as client:
        done = client.observe(app, prediction_id, reward=reward, context=context, **given)
    if as_json:
        _print_json({"accepted": done.accepted, "duplicates": done.duplicates})
    else:
        print("accepted" if done.accepted else "observed before; the first observation stands")


def why(
    id: Annotated[str, typer.Argument(metavar="ID", help="The prediction's id.", show_default=False)],
    admin_url: _AdminUrl = _ADMIN_URL,
    token: _Token = None,
    as_json: _Json = False,
) -> None:
    """Explain a prediction.

    What each model said, how much it was trusted, and what feedback came.
    """
    with _connect(token, admin_url=admin_url) as client:
        document = client.why(id)
    if as_json:
        _print_json(document)
    else:
        from skysail.cli.show import why_view  # noqa: PLC0415

        _render(why_view(document))


def status(
    context: Annotated[str | None, typer.Option(help="Show the weights that this context has.")] = None,
    admin_url: _AdminUrl = _ADMIN_URL,
    token: _Token = None,
    as_json: _Json = False,
) -> None:
    """Show applications and models at a glance."""
    with _connect(token, admin_url=admin_url) as client:
        document = client.status(context)
    if as_json:
        _print_json(document)
    else:
        from skysail.cli.show import status_view  # noqa: PLC0415

        _render(status_view(document))


def deploy(
    model: _Model,
    path: Annotated[str, typer.Argument(metavar="PATH", help="The artifact, or FILE.py:function.", show_default=False)],
    runtime: Annotated[str | None, typer.Option(help="How it is run; by default inferred from the path.")] = None,
    input: Annotated[str | None, typer.Option(help="Declaration of one row, such as float32[64].")] = None,
    timeout: _Timeout = 60,
    admin_url: _AdminUrl = _ADMIN_URL,
    token: _Token = None,
    as_json: _Json = False,
) -> None:
    """Deploy a new version of a model.

    It becomes current once it has loaded and answered. What is not given is as in the current version. A deployment
    that fails changes nothing. A relative path starts here if there is such a file here, and else at the folder of the
    server's config.
    """
    given = {key: value for key, value in (("runtime", runtime), ("input", input)) if value is not None}
    with _connect(token, admin_url=admin_url) as client:
        number = client.deploy(model, _absolute(path), timeout_s=timeout, **given)
    _print_current(model, number, as_json)


def rollback(
    model: _Model,
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="By default the one before the current.")
    ] = None,
    timeout: _Timeout = 60,
    admin_url: _AdminUrl = _ADMIN_URL,
    token: _Token = None,
    as_json: _Json = False,
) -> None:
    """Make another version of a model current.

    By default the one before. No request fails: it is started again first, as at a deployment.
    """
    with _connect(token, admin_url=admin_url) as client:
        if version is None:
            done = client.rollback(model, timeout_s=timeout)
        else:
            done = client.set_current(model, version, timeout_s=timeout)
    _print_current(model, done["current"], as_json)


def scale(
    model: _Model,
    replicas: Annotated[int, typer.Argument(metavar="N", min=1, help="Worker processes.", show_default=False)],
    admin_url: _AdminUrl = _ADMIN_URL,
    token: _Token = None,
    as_json: _Json = False,
) -> None:
    """Run a model in so many worker processes."""
    with _connect(token, admin_url=admin_url) as client:
        done = client.scale(model, replicas)
    if as_json:
        _print_json({"model": model, "replicas": done["replicas"]})
    else:
        print(f"{model} runs in {done['replicas']} worker processes")


def apply(
    file: File,
    timeout: _Timeout = 60,
    admin_url: _AdminUrl = _ADMIN_URL,
    token: _Token = None,
    as_json: _Json = False,
) -> None:
    """Make the running server match a file.

    No request fails: new and changed models are deployed beside the old ones; what the file does not name is removed.
    Settings under [server] take effect at the next start only.
    """
    from skysail.config.load import dump_config  # noqa: PLC0415

    config = load(file)
    with _connect(token, admin_url=admin_url) as client:
        done = client.apply(dump_config(config), timeout_s=timeout)
    if as_json:
        _print_json(done)
    else:
        print("\n".join(_applied(done)))
    for name, problem in done["failed"].items():
        print(f"error: {name} is as it was: {problem}", file=sys.stderr)
    if done["failed"]:
        raise typer.Exit(FAILED)


def _applied(done: Mapping[str, Any]) -> list[str]:
    """What applying a file did, a line for each thing."""
    lines = [f"deployed {model}@{number}" for model, number in done["deployed"].items()]
    lines += [f"scaled {model} to {replicas}" for model, replicas in done["scaled"].items()]
    lines += [f"set up {app}" for app in done["apps"]]
    lines += [f"removed {name}" for name in done["removed"]]
    return lines or ["nothing else to do" if done["failed"] else "nothing to do: the server matches the file"]


def _connect(token: str | None, *, url: str = _URL, admin_url: str = _ADMIN_URL) -> Client:
    from skysail.client import Client  # noqa: PLC0415

    return Client(url, admin_url, token=token)


def _absolute(path: str) -> str:
    """A path as the server can find it from wherever it runs; what is no file here stays as it is."""
    file, colon, function = path.rpartition(":") if ":" in path else (path, "", "")
    return f"{Path(file).absolute()}{colon}{function}" if Path(file).is_file() else path


def _print_current(model: str, number: int, as_json: bool) -> None:
    if as_json:
        _print_json({"model": model, "version": number})
    else:
        print(f"{model}@{number} is current")


def _print_json(document: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")


def _render(view: Any) -> None:
    from rich.console import Console  # noqa: PLC0415

    Console(highlight=False).print(view)


COMMANDS = (predict, observe, why, status, deploy, rollback, scale, apply)
"""The commands, in the order of the help."""
