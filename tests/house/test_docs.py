"""The documentation is run, and complete: examples work, links lead somewhere, every name has its place in a reference.

A fenced block is checked by its language: `json` and `toml` parse, `python` compiles (and runs, where it is written
with `>>>`). A `toml` block is a whole configuration, and is loaded as one, unless its fence says `toml fragment`.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

import skysail.selection
from skysail import errors
from skysail.config.keys import APP, MODEL, SERVER
from skysail.config.load import load_config
from skysail.config.section import Section
from skysail.selection.base import Policy
from skysail.types import Reason

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
DOCTESTED = [path for path in sorted(SRC.rglob("*.py")) if ">>> " in path.read_text()]
FENCE = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def relative(path: Path) -> str:
    """A path as the names and messages of tests have it."""
    return path.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    flag: str | None
    text: str

    def __str__(self) -> str:
        return f"{relative(self.page)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page that name a language."""
    text = page.read_text()
    for hit in FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, hit.start()) + 1, hit[1], hit[2], hit[3])


BLOCKS = [block for page in PAGES for block in blocks(page)]


def section(page: Path, title: str) -> str:
    """The text under the heading that contains a title, up to the next heading of its level or a higher one."""
    text = re.sub(FENCE, "", page.read_text())
    start = re.search(rf"^(#+) .*{re.escape(title)}.*$", text, re.MULTILINE)
    assert start, f"{relative(page)} has no heading for {title}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def keys(table: Section, prefix: str = "") -> Iterator[str]:
    """The keys of a table of the configuration, those of tables within it as `table.key`."""
    for key, reader in table.keys.items():
        yield prefix + key
        if isinstance(reader, Section):
            yield from keys(reader, f"{prefix}{key}.")


# Completeness


@pytest.mark.parametrize(
    ("title", "table"), [("[server]", SERVER), ("[models.NAME]", MODEL), ("[apps.NAME]", APP)], ids=lambda value: value
)
def test_every_setting_is_in_the_reference(title: str, table: Section) -> None:
    """Each key, `cache.ttl` and the like included, stands in backquotes under the heading of its section."""
    text = section(REFERENCE / "config.md", title)
    assert not [key for key in keys(table) if f"`{key}`" not in text]


def test_every_error_code_and_reason_is_in_the_reference() -> None:
    """Each code a reply may have, and each reason of a default, stands in backquotes among the errors."""
    classes = [vars(errors)[name] for name in errors.__all__ if isinstance(vars(errors)[name], type)]
    codes = {kind.code for kind in classes} | set(get_args(Reason))
    text = (REFERENCE / "errors.md").read_text()
    assert not sorted(code for code in codes if f"`{code}`" not in text)


def test_every_policy_has_a_heading() -> None:
    """Each policy of the package has a heading of its own among the policies."""
    for module in pkgutil.iter_modules(skysail.selection.__path__, "skysail.selection."):
        importlib.import_module(module.name)
    found, names = [Policy], set()
    for kind in found:
        found += kind.__subclasses__()
        if kind.__module__.startswith("skysail.") and "name" in vars(kind):
            names.add(kind.name)
    assert names
    headings = re.findall(r"^#+ .*$", (REFERENCE / "policies.md").read_text(), re.MULTILINE)
    assert not sorted(name for name in names if not any(f"`{name}`" in heading for heading in headings))


def test_every_metric_is_in_the_reference() -> None:
    """Each metric's name stands in backquotes among the metrics, and each name there is a metric's."""
    sources = [ast.parse(path.read_text()) for path in (SRC / "skysail" / "monitoring").glob("*.py")]
    texts = [node.value for tree in sources for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    names = {text for text in texts if isinstance(text, str) and re.fullmatch(r"skysail_[a-z0-9_]+", text)}
    assert names
    told = set(re.findall(r"`(skysail_[a-z0-9_]+)", (REFERENCE / "metrics.md").read_text()))
    assert {name.removesuffix("_total") for name in names} == {name.removesuffix("_total") for name in told}


def test_the_reference_of_commands_is_up_to_date() -> None:
    """The page of commands is what the commands themselves say; `make fix` writes it anew."""
    command = [sys.executable, "-m", "typer", "skysail.cli.main", "utils", "docs", "--name", "skysail"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"COLUMNS": "100"}
    )
    assert done.returncode == 0, done.stderr
    assert "## `skysail serve`" in done.stdout
    assert (REFERENCE / "cli.md").read_text().strip() == done.stdout.strip()


# Examples


@pytest.mark.parametrize("path", DOCTESTED, ids=relative)
def test_examples_in_docstrings_run(path: Path) -> None:
    """What a docstring shows after `>>>` is what happens."""
    name = path.relative_to(SRC).with_suffix("").as_posix().replace("/", ".")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0, "see the captured output"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_examples_in_pages_run(page: Path) -> None:
    """What a page shows after `>>>` is what happens."""
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.failed == 0, "see the captured output"


def check_block(block: Block, folder: Path) -> None:
    """Parse a block as its language; load it, where it is a configuration."""
    match block.language:
        case "python" if ">>> " not in block.text:
            compile(block.text, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        case "json":
            json.loads(block.text)
        case "toml" if block.flag == "fragment":
            tomllib.loads(block.text)
        case "toml":
            load_example(block.text, folder)
        case _:
            pass


def load_example(text: str, folder: Path) -> None:
    """Load a configuration beside empty files in the places of those it names."""
    for model in tomllib.loads(text).get("models", {}).values():
        for name in (model["path"].partition(":")[0], model.get("python", "")):
            if "/" in name or Path(name).suffix in {".py", ".joblib", ".skops", ".onnx", ".txt", ".pkl"}:
                file = folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch(0o755)
    (folder / "skysail.toml").write_text(text)
    load_config(folder / "skysail.toml", environ={"SKYSAIL_TOKEN": "secret"})


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_blocks_are_what_they_say(block: Block, tmp_path: Path) -> None:
    """A block's text is of its language, and a configuration is one that loads."""
    check_block(block, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    """What a page links to in the repository is there."""
    text = re.sub(FENCE, "", page.read_text())
    assert not [target for target in LINK.findall(text) if not (page.parent / target).exists()]


# The checks themselves


def test_a_wrong_block_is_seen(tmp_path: Path) -> None:
    """Broken syntax of each language is an error, and so is a configuration with an unknown key."""
    model = '[models.svm]\npath = "models/svm.joblib"\n[apps.digits]\nmodels = ["svm"]\n'
    page = tmp_path / "page.md"
    page.write_text(
        "```python\ndef\n```\n\n```json\n{,}\n```\n\n```toml fragment\n[\n```\n\n"
        f"```toml\n{model}slop = '20ms'\n```\n\n```toml\n{model}slo = '20ms'\n```\n"
    )
    *wrong, right = blocks(page)
    assert len(wrong) == 4
    for block in wrong:
        with pytest.raises((SyntaxError, ValueError, errors.ConfigError)):
            check_block(block._replace(page=ROOT / "page.md"), tmp_path)
    check_block(right, tmp_path)


def test_a_section_ends_where_the_next_begins(tmp_path: Path) -> None:
    """A key under another heading does not count, nor one in a block; one under a smaller heading does."""
    page = tmp_path / "config.md"
    page.write_text("# Config\n## `[server]`\n### Ports\n`port`\n```toml\n`host`\n```\n## `[apps.NAME]`\n`slo`\n")
    text = section(page, "[server]")
    assert "`port`" in text
    assert "`host`" not in text
    assert "`slo`" not in text
