from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from skysail.bench.plot import draw, require
from skysail.errors import ConfigError, MissingExtra


def test_a_page_with_charts(document: dict[str, Any], tmp_path: Path) -> None:
    """One file that needs no network, with the rates, the batches, and the parts of the time."""
    pytest.importorskip("plotly")
    path = tmp_path / "out.html"
    draw(path, document)
    page = path.read_text(encoding="utf-8")
    for word in ("svm@1\\u002f0", "svm@1/0"):
        if word in page:
            break
    else:
        pytest.fail("the replica is not in the page")
    assert "objective" in page
    assert "predicting" in page
    assert 'src="http' not in page
    draw(path, document | {"time": None, "batches": {}})


def test_a_page_that_cannot_be_written(document: dict[str, Any], tmp_path: Path) -> None:
    """The file is named, and the reason."""
    pytest.importorskip("plotly")
    with pytest.raises(ConfigError, match=r"none.*out\.html cannot be written"):
        draw(tmp_path / "none" / "out.html", document)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Plotly the error says what to install."""
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingExtra, match=r"skysail\[ui\]"):
        require()
