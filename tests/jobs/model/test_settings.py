"""The model's settings from a file."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.model import settings as model_settings
from jobs.model.shelf import rules as shelf_rules
from jobs.runtime.errors import BrokenInput, WrongUsage

SHIPPED = model_settings.DEFAULTS.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("profile_regularization", "0.0"),
        ("factors", "0"),
        ("popularity_half_life_share", "-0.1"),
        ("iterations", "true"),
        ("alpha", '"much"'),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, name: str, value: str
) -> None:
    """The message names the setting, the place names the file."""
    path = tmp_path / "model.toml"
    path.write_text(re.sub(rf"(?m)^{name} = [^ \n]+", f"{name} = {value}", SHIPPED), "utf-8")
    with pytest.raises(WrongUsage, match=rf"{name} = [\s\S]*{path}"):
        model_settings.load(path)


def test_unknown_and_missing_names_are_told(tmp_path: Path) -> None:
    """A name with a slip of the pen is both: unknown as it stands, missing as it should be."""
    path = tmp_path / "model.toml"
    path.write_text(SHIPPED.replace("\nalpha =", "\nalhpa ="), "utf-8")
    with pytest.raises(
        WrongUsage, match="missing or unknown model settings of the engine 'als': alhpa, alpha"
    ):
        model_settings.load(path)


def test_what_is_no_toml_is_broken_input(tmp_path: Path) -> None:
    """The place names the file."""
    path = tmp_path / "model.toml"
    path.write_text("[model", "utf-8")
    with pytest.raises(BrokenInput, match=str(path)):
        model_settings.load(path)


@pytest.mark.parametrize("engine", model_settings.SHIPPED)
def test_what_an_engine_uses_can_be_read_back(engine: str) -> None:
    """The mapping that enters the release id holds what the engine's file names, and gives the same settings."""
    found = model_settings.load(None, engine)
    assert found.engine == engine
    told = model_settings.as_mapping(found)
    assert model_settings.from_mapping(told, "here") == found
    tables = tomllib.loads(model_settings.SHIPPED[engine].read_text("utf-8"))
    apart = {name: table for name, table in tables.items() if name != "model"}
    if engine == "two_stage":
        apart |= tomllib.loads(shelf_rules.SHIPPED.read_text("utf-8"))
    assert told == tables["model"] | apart


def test_settings_without_an_engine_are_those_of_als(tmp_path: Path) -> None:
    """Files and releases from before there was a choice stay readable."""
    path = tmp_path / "model.toml"
    path.write_text(re.sub("(?m)^engine = .*\n", "", SHIPPED), "utf-8")
    assert model_settings.load(path) == model_settings.load(None)


def test_a_setting_the_engine_has_no_use_for_is_refused(tmp_path: Path) -> None:
    """EASE has no factors: naming them would pretend that they change something."""
    path = tmp_path / "model.toml"
    ease = model_settings.SHIPPED["ease"].read_text("utf-8")
    path.write_text(f"{ease}\nfactors = 64\n", "utf-8")
    with pytest.raises(WrongUsage, match="settings of the engine 'ease': factors"):
        model_settings.load(path)


def test_ease_without_regularization_is_refused(tmp_path: Path) -> None:
    """Its equations have no answer then."""
    path = tmp_path / "model.toml"
    ease = model_settings.SHIPPED["ease"].read_text("utf-8")
    path.write_text(re.sub(r"(?m)^regularization = .*", "regularization = 0", ease), "utf-8")
    with pytest.raises(WrongUsage, match="regularization = 0 is not above 0"):
        model_settings.load(path)


def test_engine_and_file_must_agree(tmp_path: Path) -> None:
    """A file for one engine under the name of the other is a slip; an unknown engine is told what there is."""
    path = tmp_path / "model.toml"
    path.write_text(SHIPPED, "utf-8")
    with pytest.raises(
        WrongUsage, match=r"for the engine 'als', asked for is 'ease'[\s\S]*NIGHTSHELF_ENGINE"
    ):
        model_settings.load(path, "ease")
    with pytest.raises(WrongUsage, match=r"no engine 'word2vec'[\s\S]*als, ease"):
        model_settings.load(None, "word2vec")


def _no_such_library(name: str) -> None:
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize(
    ("part", "stand_in", "told"),
    [
        ("importlib.util.find_spec", lambda _name: None, "needs LightGBM"),
        ("ctypes.CDLL", _no_such_library, "needs libgomp"),
    ],
)
def test_a_missing_library_is_said_before_work_starts(
    part: str,
    stand_in: Callable[[str], None],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The settings of two stages are refused where their ranker cannot run; those of other engines are not."""
    monkeypatch.setattr(part, stand_in)
    with pytest.raises(WrongUsage, match=told):
        model_settings.load(None, "two_stage")
    assert model_settings.load(None, "ease").engine == "ease"


def test_rules_of_their_own_enter_the_settings(tmp_path: Path) -> None:
    """Another file of shelf rules gives other settings, and so another release id; an unknown rule is refused."""
    text = shelf_rules.SHIPPED.read_text("utf-8")
    path = tmp_path / "rules.toml"
    path.write_text(text.replace("most_of_an_author = 3", "most_of_an_author = 1"), "utf-8")
    found = model_settings.load(None, "two_stage", path)
    assert found.rules is not None
    assert found.rules.most_of_an_author == 1
    assert model_settings.as_mapping(found) != model_settings.as_mapping(
        model_settings.load(None, "two_stage")
    )
    path.write_text(f"{text}\nalphabetical = true\n", "utf-8")
    with pytest.raises(WrongUsage, match="alphabetical"):
        model_settings.load(None, "two_stage", path)


@pytest.mark.parametrize("name", ["pool", "ranker_trees", "ease_regularization"])
def test_two_stages_cannot_do_with_none(name: str, tmp_path: Path) -> None:
    """A pool of no books and a ranker of no trees rank nothing."""
    path = tmp_path / "model.toml"
    text = model_settings.SHIPPED["two_stage"].read_text("utf-8")
    path.write_text(re.sub(rf"(?m)^{name} = .*", f"{name} = 0", text), "utf-8")
    with pytest.raises(WrongUsage, match=f"{name} = 0 is not above 0"):
        model_settings.load(path)
