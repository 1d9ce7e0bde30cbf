"""The configuration's objects in Python, and the package's public names."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import skysail
from skysail.api import App, Model, build_config, model, serve
from skysail.config.load import load_config
from skysail.config.schema import Config
from skysail.errors import ConfigError
from skysail.runtimes.base import Artifact
from skysail.runtimes.python import PythonRuntime

HEAVY = {"numpy", "msgspec", "httpx", "uvloop", "starlette", "typer", "rich", "sklearn", "skysail.config", "asyncio"}


def doubled(batch: list[float]) -> list[float]:
    """A model at the top of a module."""
    return [2 * row for row in batch]


class Tripler:
    """A model that is a class."""

    def predict(self, batch: list[float]) -> list[float]:
        """Three times each row."""
        return [3 * row for row in batch]


async def waiting(batch: list[float]) -> list[float]:
    """A function that no worker can run."""
    await asyncio.sleep(0)
    return batch


@model(input="float32[]", batch={"max": 8})
def one_more(batch: list[float]) -> list[float]:
    """One more than each row."""
    return [row + 1 for row in batch]


def run_python(code: str, *args: str, cwd: Path) -> str:
    """What a fresh interpreter prints of a program."""
    command = [sys.executable, *args, *(["-c", code] if code else [])]
    path = {"PYTHONPATH": str(Path(skysail.__file__).parents[1])}
    done = subprocess.run(command, cwd=cwd, env=path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_python_and_the_file_give_one_configuration(tmp_path: Path) -> None:
    """The same applications, said in Python and in a file, resolve to the same values."""
    (tmp_path / "rules.py").touch()
    file = tmp_path / "skysail.toml"
    file.write_text(
        """
        [server]
        port = 0
        cache = { bytes = "1MiB" }
        [models.rules]
        path = "rules.py:predict"
        labels = ["cat", "dog"]
        [models.other]
        path = "pkg.mod:f"
        input = "json"
        batch = { max = 4 }
        [apps.pets]
        models = ["rules", "other"]
        policy = { name = "exp3", eta = 0.2 }
        slo = "20ms"
        default = -1
        """
    )
    rules = Model("rules", Path("rules.py:predict"), labels=("cat", "dog"))
    other = Model("other", "pkg.mod:f", input="json", batch={"max": 4})
    pets = App("pets", [rules, other], policy={"name": "exp3", "eta": 0.2}, slo="20ms", default=-1)
    found = build_config(pets, root=tmp_path, port=0, cache={"bytes": "1MiB"}, host=None)
    assert found == load_config(file)


def test_a_decorated_function_is_a_model_that_can_be_called() -> None:
    """The decorator takes nothing away: the function still answers, under its own name and docstring."""
    assert isinstance(one_more, Model)
    assert one_more([1.0]) == [2.0]
    assert (one_more.name, one_more.__doc__, repr(one_more).partition("<")[0]) == (
        "one-more",
        "One more than each row.",
        "Model('one-more', ",
    )


def test_the_decorator_without_arguments_and_with_a_name() -> None:
    """Parentheses may be left out; a name may be given."""
    assert model(doubled).name == "doubled"
    assert model(name="twice")(doubled).name == "twice"


def test_functions_are_imported_from_their_module() -> None:
    """A worker imports a module's function by its import path, from the folder above its topmost package."""
    from skysail.config import units  # noqa: PLC0415 - only this test needs a function of another module

    package = App("a", [Model("m", units.parse_size), Model("n", Tripler), one_more])
    models = build_config(package).models
    assert models["m"].path == "skysail.config.units:parse_size"
    assert models["m"].import_root == str(Path(skysail.__file__).parents[1])
    assert models["n"].path.endswith(("test_api:Tripler", "test_api.py:Tripler"))
    assert (models["one-more"].input, models["one-more"].batch.max) == ("float32[]", 8)


def test_a_function_in_the_main_file_is_imported_from_that_file(tmp_path: Path) -> None:
    """A script's function has the script's path, and a module run by -m its import path."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    script = tmp_path / "pkg" / "script.py"
    script.write_text(
        "import skysail\n"
        "from skysail.api import build_config\n"
        "@skysail.model\n"
        "def f(batch):\n"
        "    return batch\n"
        "if __name__ == '__main__':\n"
        "    found = build_config(skysail.App('a', [f])).models['f']\n"
        "    print(found.path, found.import_root)\n"
    )
    assert run_python("", "pkg/script.py", cwd=tmp_path) == f"{script}:f {tmp_path}"
    assert run_python("", "-m", "pkg.script", cwd=tmp_path) == f"pkg.script:f {tmp_path}"


def test_a_worker_loads_what_was_decorated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that a decorated function resolves to is one from which the python runtime loads it and predicts."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "decorated_rules.py").write_text(
        "import skysail\n@skysail.model(input='json')\ndef negated(batch):\n    return [-row for row in batch]\n"
    )
    runtime = PythonRuntime.load(Artifact(path=f"{tmp_path}/decorated_rules.py:negated"))
    assert runtime.predict([1, 2]) == [-1, -2]
    found = build_config(App("a", [sys.modules["decorated_rules"].negated])).models["negated"]
    assert (found.path, found.import_root) == ("decorated_rules:negated", str(tmp_path))
    again = PythonRuntime.load(Artifact(path=found.path, import_root=found.import_root))
    assert again.predict([3]) == [-3]


def test_a_function_of_no_file_is_refused(tmp_path: Path) -> None:
    """What was typed into a console, or a notebook, cannot be imported, and the remedy is named."""
    code = (
        "import skysail\n"
        "from skysail.api import build_config\n"
        "@skysail.model\n"
        "def f(batch): return batch\n"
        "try: build_config(skysail.App('a', [f]))\n"
        "except skysail.ConfigError as error: print(error)\n"
    )
    found = run_python(code, cwd=tmp_path)
    assert "models.f: function f is in no file that a worker could import (a notebook, a console, or -c)" in found
    assert "put it into a .py file" in found


def test_a_cell_run_beside_a_script_is_refused() -> None:
    """A function whose code is in no file is refused even where its module has one."""
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(compile("def cell(batch): return batch", "<cell 1>", "exec"), namespace)
    with pytest.raises(ConfigError, match=r"models\.cell: function cell is in no file"):
        build_config(App("a", [model(namespace["cell"])]))


def test_what_cannot_be_imported_by_name_is_refused_at_once() -> None:
    """Lambdas, inner functions, methods, partials and coroutines are refused where they are given, with the remedy."""

    def inner(batch: Any) -> Any:
        return batch

    refused: list[tuple[Callable[..., Any], str]] = [
        (lambda batch: batch, "models.m: a lambda has no name to import it by; write it as a function at the top"),
        (inner, "<locals>.inner cannot be imported by name; move it to the top level of its module"),
        (Tripler().predict, "models.m: Tripler.predict cannot be imported by name"),
        (partial(doubled), "has no name to import it by; wrap it in a function at the top level"),
        (waiting, "models.m: waiting is asynchronous; a worker runs one batch at a time, so write it as a plain"),
    ]
    for function, message in refused:
        with pytest.raises(ConfigError) as caught:
            Model("m", function)
        assert message in caught.value.message


def test_a_class_is_named_and_not_decorated() -> None:
    """Workers make the object themselves, so the class must stay a class."""
    with pytest.raises(ConfigError, match=r'leave it undecorated and write skysail\.Model\("x", Tripler\)'):
        model(name="x")(Tripler)


def test_an_artifact_is_not_called_here() -> None:
    """A model of a path has no function to call in this process."""
    with pytest.raises(TypeError, match=r"model 'm' is not a function but m\.onnx; ask a server that serves it"):
        Model("m", "m.onnx")([1])


def test_an_application_takes_models() -> None:
    """A plain function or a name among the models is told what to write."""
    with pytest.raises(ConfigError, match=r"apps\.a\.models: .*doubled.* is not a model; .*@skysail\.model\(\)"):
        App("a", [doubled])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match=r"apps\.a\.models: 'm' is not a model"):
        App("a", ["m"])  # type: ignore[list-item]


def test_options_are_judged_as_in_the_file() -> None:
    """Typos and wrong values get the file's own messages, all at once."""
    bad = Model("m", "pkg.mod:f", timeout="3", replicsa=2)  # type: ignore[call-arg]
    with pytest.raises(ConfigError) as caught:
        build_config(App("x", [bad], slo="1ms"), admin_host="0.0.0.0", prot=1)  # type: ignore[call-arg]
    lines = caught.value.message.split("\n")
    assert lines[0] == "server.prot = 1: unknown key (did you mean 'port'?)"
    assert lines[1].startswith('models.m.timeout = "3": must be a duration such as "20ms"')
    assert lines[2] == "models.m.replicsa = 2: unknown key (did you mean 'replicas'?)"
    assert lines[3] == 'apps.x.slo = "1ms": must be at least 2ms'


def test_a_name_belongs_to_one_object() -> None:
    """One model may serve several applications; two models, or two applications, of one name are refused."""
    shared = Model("m", "pkg.mod:f")
    assert list(build_config(App("a", [shared]), App("b", [shared])).models) == ["m"]
    with pytest.raises(ConfigError, match=r"'m' names both Model\('m', 'pkg.mod:f'\) and Model\('m', 'pkg.mod:g'\)"):
        build_config(App("a", [shared]), App("b", [Model("m", "pkg.mod:g")]))
    with pytest.raises(ConfigError, match=r"'a' names both .*; rename one"):
        build_config(App("a", [shared]), App("a", [shared]))


def test_policies_are_checked_by_who_knows_them() -> None:
    """The check that is passed in has its say, as with a file."""

    def check(app: Any) -> None:
        raise ConfigError(f"policy '{app.policy}' is unknown")

    with pytest.raises(ConfigError, match=r"^apps\.a: policy 'vot' is unknown$"):
        build_config(App("a", [one_more], policy="vot"), check_policy=check)


def test_serve_runs_what_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command gets the configuration, its policies checked too, and its exit status is returned."""
    ran: list[Config] = []
    command = types.ModuleType("skysail.cli.serve")

    def run(config: Config) -> int:
        ran.append(config)
        return 0

    monkeypatch.setattr(command, "run", run, raising=False)
    monkeypatch.setitem(sys.modules, "skysail.cli.serve", command)
    with pytest.raises(ConfigError, match=r"^apps\.a: .*vot.*did you mean 'vote'"):
        serve(App("a", [one_more], policy="vot"))
    assert serve(App("a", [one_more]), port=0) == 0
    assert ran == [build_config(App("a", [one_more]), port=0)]


def test_a_worker_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that serves when it is imported would do so in each of its workers: it is told where to call."""
    main = types.ModuleType("__main__")
    main.__spec__ = types.SimpleNamespace(name="skysail.worker.main")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(ConfigError, match='write it under: if __name__ == "__main__":'):
        serve(App("a", [one_more]))


def test_importing_the_package_loads_nothing(tmp_path: Path) -> None:
    """`import skysail`, and decorating a function, load no library: a worker can afford it in any environment."""
    code = (
        "import json, sys\n"
        "import skysail\n"
        "first = sorted(sys.modules)\n"
        "skysail.model\n"
        "print(json.dumps([first, sorted(sys.modules)]))\n"
    )
    bare, decorating = (set(names) for names in json.loads(run_python(code, cwd=tmp_path)))
    assert not bare & HEAVY
    assert {name for name in bare if name.startswith("skysail")} == {"skysail"}
    assert {name for name in decorating if name.startswith("skysail")} == {"skysail", "skysail.api", "skysail.errors"}
    assert not decorating & HEAVY


@pytest.mark.parametrize("name", skysail.__all__)
def test_each_public_name_is_found_where_it_is_defined(name: str) -> None:
    """Every name of the package is there, and says which module is its home."""
    found = getattr(skysail, name)
    assert found.__name__ == name
    assert found.__module__.startswith("skysail.")
    assert name in dir(skysail)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that is not public is refused, with those that are."""
    with pytest.raises(AttributeError, match="module 'skysail' has no attribute 'Ap'; it has App, "):
        skysail.Ap  # noqa: B018
