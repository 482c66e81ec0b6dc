"""Cards by name and by path."""

from __future__ import annotations

import pathlib

import pytest

from fine2coarse import cards
from fine2coarse.errors import RecipeError

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_CARD = "def get_config(size='full'):\n    return {'size': size}\n"


def test_a_shipped_card_by_its_name_and_argument(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cards.find_card("demo:smoke") == (_ROOT / "configs" / "demo.py", "smoke")
    assert cards.load_card("demo:smoke").seeds == (0,)
    assert cards.load_card("demo").seeds == (0, 1, 2)
    assert set(cards.card_names()) == {path.stem for path in (_ROOT / "configs").glob("*.py")}


def test_a_file_comes_before_a_card_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text(_CARD)
    (tmp_path / "mine.py").write_text(_CARD)
    assert cards.find_card("demo")[0] == pathlib.Path("demo")
    assert cards.load_card("mine.py:small") == {"size": "small"}
    monkeypatch.setenv("CARDS", str(tmp_path))
    assert cards.load_card("$CARDS/mine.py") == {"size": "full"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dmo", "unknown card 'dmo'; did you mean 'demo'?"),
        ("configs/dmo.py", "there is no file configs/dmo.py; .* shipped: demo, folder"),
        ("demo:tiny", "expected .*smoke, got 'tiny'"),
        ("{tmp}/empty.py", "expected a function get_config"),
        ("{tmp}/notes.txt", "expected a Python file"),
        ("$NOTSET/demo.py", "variable NOTSET is not set"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, text, message):
    monkeypatch.delenv("NOTSET", raising=False)
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=message):
        cards.load_card(text.format(tmp=tmp_path))


def test_cards_and_programs_lie_in_the_package_once_it_is_installed(tmp_path, monkeypatch):
    package = tmp_path / "fine2coarse"
    (package / "configs").mkdir(parents=True)
    (package / "configs" / "own.py").write_text(_CARD)
    (tmp_path / "launch").mkdir()
    monkeypatch.setattr(cards, "_HERE", package)
    assert cards.card_names() == ("own",)
    assert cards.folder_of("launch") == tmp_path / "launch"


def test_a_recipe_error_is_a_mistake_of_the_user():
    with pytest.raises(RecipeError):
        cards.find_card("dmo")
