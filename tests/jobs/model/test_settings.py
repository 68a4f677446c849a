"""The model's settings from a file."""

import re
from pathlib import Path

import pytest

from jobs.model import settings as model_settings
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
    with pytest.raises(WrongUsage, match="missing or unknown model settings: alhpa, alpha"):
        model_settings.load(path)


def test_what_is_no_toml_is_broken_input(tmp_path: Path) -> None:
    """The place names the file."""
    path = tmp_path / "model.toml"
    path.write_text("[model", "utf-8")
    with pytest.raises(BrokenInput, match=str(path)):
        model_settings.load(path)
