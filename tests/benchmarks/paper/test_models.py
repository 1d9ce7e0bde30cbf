from typing import Any

import pytest


@pytest.fixture
def models(paper: Any) -> Any:
    """The module."""
    return paper("models")


def rate(expert: Any, rows: list[Any]) -> float:
    """How often a model says the label."""
    return sum(said == row["label"] for said, row in zip(expert(rows), rows, strict=True)) / len(rows)


def test_a_model_is_as_accurate_as_stated(models: Any) -> None:
    """Over many queries, independently of its neighbours; and the same again, in whatever order."""
    rows = [models.row(1, t) for t in range(4000)]
    good, bad = models.Expert(name="a", accuracy=0.9), models.Expert(name="b", accuracy=0.5)
    assert rate(good, rows) == pytest.approx(0.9, abs=0.015)
    assert rate(bad, rows) == pytest.approx(0.5, abs=0.025)
    assert rate(bad, [row for row in rows if good.right(row)]) == pytest.approx(0.5, abs=0.03)
    assert good(rows[::-1]) == good(rows)[::-1]


def test_labels_and_mistakes_are_spread_evenly(models: Any) -> None:
    """Every class is as likely as any other, as a label and as a mistake."""
    rows = [models.row(2, t) for t in range(4000)]
    wrong = models.Expert(name="a", accuracy=0.0)(rows)
    for said in ([row["label"] for row in rows], wrong):
        counts = [said.count(label) for label in range(models.LABELS)]
        assert min(counts) > 300
        assert sum(counts) == 4000
    assert not any(said == row["label"] for said, row in zip(wrong, rows, strict=True))


def test_a_broken_model_is_always_wrong(models: Any) -> None:
    """From the first query of its break to the last, and neither before nor after."""
    expert = models.Expert(name="a", accuracy=1.0, broken=(10, 20))
    said = [expert.says(models.row(1, t)) == models.row(1, t)["label"] for t in range(30)]
    assert said == [not 10 <= t < 20 for t in range(30)]


def test_a_specialist_knows_its_group(models: Any) -> None:
    """It has one accuracy for its group and another elsewhere."""
    expert = models.Expert(name="a", accuracy=1.0, specialist=3, elsewhere=0.0)
    assert [expert.right(models.row(1, 7) | {"group": group}) for group in (2, 3)] == [False, True]


def test_shared_mistakes_are_the_same(models: Any) -> None:
    """Models that share their mistakes say one wrong label between them; others do not."""
    rows = [models.row(1, t) for t in range(50)]
    a, b = (models.Expert(name=name, accuracy=0.0, shared=True) for name in "ab")
    c = models.Expert(name="c", accuracy=0.0)
    assert a(rows) == b(rows) != c(rows)


def test_models_are_declared_as_they_are(models: Any) -> None:
    """The file that the server imports holds equal models, each named in a table."""
    experts = [models.Expert(name="m0", accuracy=0.7), models.Expert(name="m1", accuracy=0.9, broken=(1, 2))]
    tables, zoo = models.declared(experts)
    found: dict[str, Any] = {}
    exec(zoo, found)
    assert [found["m0"], found["m1"]] == experts
    assert '[models.m1]\npath = "zoo:m1"' in tables
