from pathlib import Path

import pytest

from skysail.config.code import code_digest, source_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file, a package, and a module in it."""
    (tmp_path / "mine.py").write_text("A = 1")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "inner.py").write_text("B = 1")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("mine.py:A", "mine.py"),
        ("mine:A", "mine.py"),
        ("pack:A", "pack/__init__.py"),
        ("pack.inner:B", "pack/inner.py"),
        ("gone.py:A", "gone.py"),
        ("json:loads", None),
        ("vote", None),
    ],
)
def test_an_import_path_leads_to_a_file(folder: Path, path: str, file: str | None) -> None:
    """One that is named, or that of a module under the folder; a name, or what is installed, to none."""
    assert source_file(path, folder) == (None if file is None else folder / file)


def test_the_digest_follows_the_text(folder: Path) -> None:
    """Another text in either file is another digest; the same again, the same."""
    paths = ("mine.py:A", "pack.inner:B")
    first = code_digest(paths, folder)
    (folder / "pack" / "inner.py").write_text("B = 2")
    second = code_digest(paths, folder)
    (folder / "pack" / "inner.py").write_text("B = 1")
    assert first != second
    assert code_digest(paths, folder) == first


def test_there_is_no_digest_without_code(folder: Path) -> None:
    """Names of what is built in, what is installed, and a file that cannot be read."""
    assert code_digest(["vote", "json:loads", "gone.py:A"], folder) == ""
