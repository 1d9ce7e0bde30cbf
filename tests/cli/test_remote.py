from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PREDICTION = {
    "prediction_id": "00-000001-00000002",
    "output": 7,
    "confidence": 0.93,
    "agreement": 0.8,
    "default": False,
    "reason": None,
    "models": ["svm@1", "mlp@2"],
    "missing": ["mlp@2"],
}
OBSERVED = {"accepted": 1, "duplicates": 0, "rejected": []}
MODEL = {"name": "svm", "current": 2, "replicas": 3, "versions": [{"version": 1}, {"version": 2}]}
CONFIG = """
[models.rules]
path = "rules.py:predict"
input = "json"

[apps.a]
models = ["rules"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small config that is right."""
    (tmp_path / "rules.py").write_text("def predict(batch):\n    return batch\n")
    path = tmp_path / "skysail.toml"
    path.write_text(CONFIG)
    return path


def test_predict_prints_the_answer(invoke: Callable[..., Any], server: Any) -> None:
    """The output stands by itself on the first line, and what it rests on follows."""
    server.answer("POST /apps/digits/predict", PREDICTION)
    done = invoke("predict", "digits", "[1, 2]", "--url", server.url, "--context", "alice", "--deadline-ms", "5")
    assert done.code == 0
    assert done.out.splitlines()[0] == "7"
    assert "svm@1, mlp@2, without mlp@2" in done.out
    assert "00-000001-00000002" in done.out
    assert server.asked[0].body == {"input": [1, 2], "context": "alice", "deadline_ms": 5.0}


def test_predict_says_why_an_answer_is_the_default(invoke: Callable[..., Any], server: Any) -> None:
    """A default answer is marked as such, with its reason."""
    default = {"output": None, "confidence": None, "agreement": None, "default": True, "reason": "deadline"}
    server.answer("POST /apps/digits/predict", PREDICTION | default)
    assert "the default (deadline)" in invoke("predict", "digits", "1", "--url", server.url).out


def test_json_is_the_servers_answer(invoke: Callable[..., Any], server: Any) -> None:
    """With --json the output is the document, for a program to read."""
    server.answer("POST /apps/digits/predict", PREDICTION)
    assert json.loads(invoke("predict", "digits", "1", "--url", server.url, "--json").out) == PREDICTION


def test_the_input_may_come_from_a_file_or_a_pipe(
    invoke: Callable[..., Any], server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`@FILE` and `-` stand for JSON that is elsewhere."""
    server.answer("POST /apps/digits/predict", PREDICTION)
    (tmp_path / "row.json").write_text('{"a": 1}')
    assert invoke("predict", "digits", f"@{tmp_path / 'row.json'}", "--url", server.url).code == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[3]")))
    assert invoke("predict", "digits", "-", "--url", server.url).code == 0
    assert [asked.body for asked in server.asked] == [{"input": {"a": 1}}, {"input": [3]}]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (("id-1", "--label", "7"), {"prediction_id": "id-1", "label": 7}),
        (("id-1", "--label", "cat"), {"prediction_id": "id-1", "label": "cat"}),
        (("id-1", "--reward", "0.5"), {"prediction_id": "id-1", "reward": 0.5}),
        (("--input", "[1]", "--label", "null", "--context", "c"), {"input": [1], "label": None, "context": "c"}),
    ],
)
def test_observe_sends_what_was_given(
    invoke: Callable[..., Any], server: Any, arguments: tuple[str, ...], sent: dict[str, Any]
) -> None:
    """A label or a reward, for an id or an input."""
    server.answer("POST /apps/digits/observe", OBSERVED)
    done = invoke("observe", "digits", *arguments, "--url", server.url)
    assert (done.code, done.out) == (0, "accepted\n")
    assert server.asked[0].body == sent


def test_a_second_observation_is_told_from_the_first(invoke: Callable[..., Any], server: Any) -> None:
    """A duplicate is no failure, but it is not called accepted either."""
    server.answer("POST /apps/digits/observe", OBSERVED | {"accepted": 0, "duplicates": 1})
    arguments = ("observe", "digits", "id-1", "--reward", "1", "--url", server.url)
    assert "observed before" in invoke(*arguments).out
    assert json.loads(invoke(*arguments, "--json").out) == {"accepted": 0, "duplicates": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("observe", "a", "--label", "1"), "ID of a prediction or --input"),
        (("observe", "a", "id", "--input", "1", "--label", "1"), "ID of a prediction or --input"),
        (("observe", "a", "id"), "--label or --reward"),
        (("observe", "a", "id", "--label", "1", "--reward", "1"), "--label or --reward"),
        (("predict", "a", "{1"), "is not JSON"),
        (("predict", "a", "@/no/such/file"), "cannot be read"),
        (("apply", "/no/such/file"), "/no/such/file"),
    ],
)
def test_wrong_usage_is_told_in_one_line(invoke: Callable[..., Any], arguments: tuple[str, ...], said: str) -> None:
    """What cannot be sent is refused before anything is sent, with exit code 2."""
    done = invoke(*arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments", [("status", "--context", "\udcff"), ("why", "\udcff"), ("predict", "a", "1", "--context", "\udcff")]
)
def test_what_is_not_utf_8_is_refused_in_one_line(invoke: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    """A byte of the command line that is no text is not sent, and said to be none."""
    done = invoke(*arguments)
    assert done.code == 1
    assert "utf-8" in done.err.lower()
    assert "Traceback" not in done.err


def test_nobody_at_the_address_is_exit_code_three(invoke: Callable[..., Any]) -> None:
    """A server that is not there is told apart from one that refuses."""
    for command in (["status"], ["why", "id"], ["deploy", "m", "p"], ["rollback", "m"], ["scale", "m", "2"]):
        done = invoke(*command, "--admin-url", "http://127.0.0.1:1")
        assert done.code == 3, command
        assert done.err.startswith("error: http://127.0.0.1:1 cannot be reached")


def test_a_refusal_is_exit_code_one_with_the_servers_words(invoke: Callable[..., Any], server: Any) -> None:
    """The message is the server's own, on one line."""
    message = "no application is called 'digts' (did you mean 'digits'?)"
    server.answer("POST /apps/digts/predict", {"error": {"code": "unknown_app", "message": message}}, 404)
    done = invoke("predict", "digts", "1", "--url", server.url)
    assert (done.code, done.err) == (1, f"error: {message}\n")


def test_the_token_comes_from_the_option_or_the_environment(
    invoke: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SKYSAIL_TOKEN is used where --token is not given."""
    server.answer("GET /predictions/x", {"any": "thing"})
    invoke("why", "x", "--json", "--admin-url", server.url, "--token", "one")
    monkeypatch.setenv("SKYSAIL_TOKEN", "two")
    invoke("why", "x", "--json", "--admin-url", server.url)
    assert [asked.token for asked in server.asked] == ["Bearer one", "Bearer two"]


def test_deploy_sends_an_absolute_path(
    invoke: Callable[..., Any], server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is here is named as the server can find it; anything else is passed on as it was written."""
    server.answer("POST /models/svm/versions", {"model": "svm", "version": 2})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.joblib").touch()
    (tmp_path / "f.py").touch()
    for path in ("m.joblib", "f.py:predict", "package.module:predict", "elsewhere.onnx"):
        done = invoke("deploy", "svm", path, "--admin-url", server.url)
        assert (done.code, done.out) == (0, "svm@2 is current\n")
    sent = [asked.body["path"] for asked in server.asked]
    here = tmp_path.absolute()
    assert sent == [f"{here}/m.joblib", f"{here}/f.py:predict", "package.module:predict", "elsewhere.onnx"]


def test_deploy_sends_only_the_settings_given(invoke: Callable[..., Any], server: Any) -> None:
    """What is not given is left to the version before."""
    server.answer("POST /models/svm/versions", {"model": "svm", "version": 2})
    arguments = ("--runtime", "python", "--input", "json", "--timeout", "9", "--json")
    done = invoke("deploy", "svm", "m:f", *arguments, "--admin-url", server.url)
    assert json.loads(done.out) == {"model": "svm", "version": 2}
    invoke("deploy", "svm", "m:f", "--admin-url", server.url)
    bodies = [asked.body for asked in server.asked]
    assert bodies[0] == {"path": "m:f", "runtime": "python", "input": "json", "timeout_s": 9.0}
    assert bodies[1] == {"path": "m:f", "timeout_s": 60.0}


def test_a_failed_deployment_says_why(invoke: Callable[..., Any], server: Any) -> None:
    """Exit code 1 and the server's words."""
    problem = {"error": {"code": "deploy_failed", "message": "version 2 of svm could not be loaded"}}
    server.answer("POST /models/svm/versions", problem, 422)
    done = invoke("deploy", "svm", "m:f", "--admin-url", server.url)
    assert (done.code, done.err) == (1, "error: version 2 of svm could not be loaded\n")


@pytest.mark.parametrize(("arguments", "version"), [((), 1), (("2",), 2)])
def test_rollback_goes_to_the_one_before_or_the_one_named(
    invoke: Callable[..., Any], server: Any, arguments: tuple[str, ...], version: int
) -> None:
    """Without a number the version before the current one is meant."""
    server.answer("GET /models/svm", MODEL)
    server.answer("PUT /models/svm/current", MODEL | {"current": version})
    done = invoke("rollback", "svm", *arguments, "--admin-url", server.url)
    assert (done.code, done.out) == (0, f"svm@{version} is current\n")
    assert server.asked[-1].body["version"] == version


def test_scale_tells_what_is_so_now(invoke: Callable[..., Any], server: Any) -> None:
    """The number of replicas is the server's answer."""
    server.answer("PUT /models/svm/replicas", MODEL)
    assert invoke("scale", "svm", "3", "--admin-url", server.url).out == "svm runs in 3 worker processes\n"
    done = invoke("scale", "svm", "3", "--admin-url", server.url, "--json")
    assert json.loads(done.out) == {"model": "svm", "replicas": 3}


def test_apply_sends_the_resolved_file_and_tells_what_was_done(
    invoke: Callable[..., Any], server: Any, config: Path
) -> None:
    """A line for each thing done; the paths sent are absolute."""
    done = {"deployed": {"rules": 2}, "scaled": {"m": 3}, "apps": ["a"], "removed": ["old"], "failed": {}}
    server.answer("POST /apply", done)
    printed = invoke("apply", str(config), "--admin-url", server.url)
    assert printed.out.splitlines() == ["deployed rules@2", "scaled m to 3", "set up a", "removed old"]
    assert server.asked[0].body["models"]["rules"]["path"] == f"{config.parent / 'rules.py'}:predict"


def test_apply_with_nothing_to_do_says_so(invoke: Callable[..., Any], server: Any, config: Path) -> None:
    """A server that matches the file already is no failure."""
    done: dict[str, Any] = {"deployed": {}, "scaled": {}, "apps": [], "removed": [], "failed": {}}
    server.answer("POST /apply", done)
    printed = invoke("apply", str(config), "--admin-url", server.url)
    assert (printed.code, printed.out) == (0, "nothing to do: the server matches the file\n")
    assert json.loads(invoke("apply", str(config), "--admin-url", server.url, "--json").out) == done


def test_apply_that_fails_in_part_is_exit_code_one(invoke: Callable[..., Any], server: Any, config: Path) -> None:
    """What failed is told on standard error, what was done on standard output."""
    failed = {"deployed": {}, "scaled": {}, "apps": ["a"], "removed": [], "failed": {"rules": "cannot be loaded"}}
    server.answer("POST /apply", failed)
    printed = invoke("apply", str(config), "--admin-url", server.url)
    assert printed.code == 1
    assert printed.out == "set up a\n"
    assert printed.err == "error: rules is as it was: cannot be loaded\n"
