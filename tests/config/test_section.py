"""A table's keys, and all that is wrong with them."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from skysail.config.keys import APP, MODEL, SERVER
from skysail.config.section import Problems, Section, dotted, shown
from skysail.config.values import boolean, declaration, integer
from skysail.errors import ConfigError

INNER = Section(keys={"depth": integer(0, 9)})
OUTER = Section(
    keys={"count": integer(0, 9), "flag": boolean, "inner": INNER, "input": declaration},
    required=("count",),
)


def problems_of(raw: Any) -> list[str]:
    """What is wrong with a table."""
    problems = Problems("f.toml")
    assert OUTER.read("a.b", raw, problems) is None
    return problems.found


def test_values_are_those_given() -> None:
    """What is given is converted, tables within the table too; what is not given is not there."""
    problems = Problems("")
    assert OUTER.read("a", {"count": 1, "inner": {"depth": 2}}, problems) == {"count": 1, "inner": {"depth": 2}}
    problems.raise_found()


def test_every_problem_is_reported_at_once() -> None:
    """A line for each problem, with the file, the dotted path and the value, in the order written."""
    found = problems_of({"flag": 3, "inner": {"depht": 1}, "input": "x"})
    assert found == [
        "f.toml: a.b: key 'count' is missing; add it",
        "f.toml: a.b.flag = 3: must be true or false",
        "f.toml: a.b.inner.depht = 1: unknown key (did you mean 'depth'?)",
        found[3],
    ]
    assert found[3].startswith("f.toml: a.b.input = 'x' is not a declaration")


@pytest.mark.parametrize("raw", [3, "x", [], None, True])
def test_what_is_no_table_is_refused(raw: Any) -> None:
    """Where a table belongs, anything else is told the keys that a table may have."""
    assert problems_of(raw) == [f"f.toml: a.b = {shown(raw)}: must be a table of keys (count, flag, inner, input)"]


def test_problems_raise_together() -> None:
    """The error's message is all of the lines; without a file's name they begin with the key."""
    problems = Problems("")
    problems.add("a: x")
    problems.add("b: y")
    with pytest.raises(ConfigError) as caught:
        problems.raise_found()
    assert caught.value.message == "a: x\nb: y"


@st.composite
def typos(draw: st.DrawFn) -> tuple[Section, str, str]:
    """A section, one of its keys, and the key with one slip of the finger."""
    section = draw(st.sampled_from([SERVER, MODEL, APP, *(s for s in SERVER.keys.values() if isinstance(s, Section))]))
    key = draw(st.sampled_from(sorted(section.keys)))
    at = draw(st.integers(0, len(key) - 1))
    letter = draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz_"))
    slip = draw(st.sampled_from(["insert", "delete", "replace", "swap"]))
    wrong = {
        "insert": key[:at] + letter + key[at:],
        "delete": key[:at] + key[at + 1 :],
        "replace": key[:at] + letter + key[at + 1 :],
        "swap": key[:at] + key[at : at + 2][::-1] + key[at + 2 :],
    }[slip]
    assume(wrong not in section.keys)
    return section, key, wrong


@given(typos())
@example((next(s for s in SERVER.keys.values() if isinstance(s, Section) and "ttl" in s.keys), "ttl", "tltl"))
def test_a_typo_is_refused_and_the_nearest_key_named(typo: tuple[Section, str, str]) -> None:
    """One slip in any key of any table is refused, and a key at least as near as the one meant is named."""
    section, key, wrong = typo
    problems = Problems("")
    assert section.read("t", {wrong: 1}, problems) is None
    line = next(line for line in problems.found if line.startswith(f"t.{wrong} = 1: unknown key (did you mean '"))
    suggested = line.rpartition("'")[0].rpartition("'")[2]
    assert suggested in section.keys
    nearness = difflib.SequenceMatcher(None, suggested, wrong).ratio()
    assert nearness >= min(
        difflib.SequenceMatcher(None, key, wrong).ratio(), difflib.SequenceMatcher(None, wrong, key).ratio()
    )


def test_values_in_messages_are_short() -> None:
    """A value is shown as TOML writes it where it can be, and cut where it is long."""
    assert (shown(True), shown("é"), shown([1, "a"])) == ("true", '"é"', '[1,"a"]')
    assert len(shown("x" * 1000)) == 78
    assert shown(2**70) == str(2**70)


def test_paths_are_quoted_where_toml_quotes() -> None:
    """A key that is not bare is quoted in its path."""
    assert dotted("", "apps") == "apps"
    assert dotted("apps", "a.b") == 'apps."a.b"'
