"""Great Expectations behind plain suites: what is passed, failed, crashed, and left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from jobs.validation import expectations
from jobs.validation.check import Check, Suite, between, values_in

FRAME = pd.DataFrame({"key": [7, 8, 9], "value": [1, 2, 2], "label": ["a", "b", "c"]})


def only(expectation: str, arguments: dict[str, object], frame: pd.DataFrame = FRAME) -> Suite:
    """Return a suite of one check."""
    return Suite("one", frame, (Check("it", "it holds", expectation, arguments),), key="key")


def test_a_failure_names_the_rows() -> None:
    """A failed check tells how many of how many rows, and which."""
    suite = Suite("s", FRAME, (values_in("v", "t", "value", {"value_set": [1]}, "are two"),), "key")
    (outcome,) = expectations.validate((suite,)).outcomes
    assert outcome.status == "failed"
    assert outcome.observed == "2 of 3 are two"
    assert outcome.examples == ("value 2, key 8", "value 2, key 9")


def test_an_unhashable_value_is_a_crash() -> None:
    """A check that raises inside Great Expectations has crashed: it neither failed nor passed."""
    unhashable = FRAME.assign(value=pd.Series([[1], [1], [2]], dtype=object))
    expectation, arguments = "expect_compound_columns_to_be_unique", ["key", "value"]
    judgement = expectations.validate((only(expectation, {"column_list": arguments}, unhashable),))
    assert judgement.status == "crashed"
    assert "unhashable" in judgement.outcomes[0].observed


def test_a_missing_column_is_a_crash() -> None:
    """A metric that cannot be computed is a crash, although Great Expectations calls it no success."""
    judgement = expectations.validate(
        (only("expect_column_max_to_be_between", {"column": "absent"}),)
    )
    assert judgement.status == "crashed"
    assert "absent" in judgement.outcomes[0].observed


def test_a_broken_argument_is_a_crash() -> None:
    """An expectation that cannot even be made is a crash of its whole suite."""
    broken = only("expect_column_max_to_be_between", {"column": "value", "min_value": [1]})
    judgement = expectations.validate((broken,))
    assert judgement.status == "crashed"
    assert "min_value" in judgement.raw["suites"]["one"]["raised"]


def test_nothing_observed_is_a_crash() -> None:
    """A success without evidence is not believed: the greatest of no values is nothing."""
    empty = FRAME.iloc[:0]
    judgement = expectations.validate(
        (only("expect_column_max_to_be_between", {"column": "value"}, empty),)
    )
    assert judgement.status == "crashed"


def test_one_crash_outweighs_failures() -> None:
    """With a crash and a failure, the table counts as crashed, and both are told."""
    failing = only("expect_column_max_to_be_between", {"column": "value", "max_value": 0})
    crashing = only("expect_column_max_to_be_between", {"column": "absent"})
    judgement = expectations.validate((failing, crashing))
    assert [one.status for one in judgement.outcomes] == ["failed", "crashed"]
    assert judgement.status == "crashed"


def test_a_gate_that_fails_ends_the_judging() -> None:
    """What needs the gate is left out after it failed, and judged after it passed."""
    frame = pd.DataFrame({"rows": [0]})
    after = only("expect_column_max_to_be_between", {"column": "value", "max_value": 5})

    def gate(least: int) -> Suite:
        return Suite("gate", frame, (between("g", "t", "rows", least, None),), gate=True)

    stopped = expectations.validate((gate(1), after))
    assert (len(stopped.outcomes), stopped.stopped_at, stopped.status) == (1, "gate", "failed")
    passed = expectations.validate((gate(0), after))
    assert (len(passed.outcomes), passed.stopped_at, passed.status) == (2, None, "passed")


def test_what_is_said_is_json_and_the_same_each_time() -> None:
    """The answer of Great Expectations is kept without ids and times, so the same data gives the same text."""
    suite = only("expect_column_values_to_be_unique", {"column": "value"})
    one, other = expectations.validate((suite,)), expectations.validate((suite,))
    assert json.dumps(one.raw) == json.dumps(other.raw)
    assert one.raw["suites"]["one"]["results"][0]["result"]["unexpected_count"] == 2


_JUDGE = """
import socket
def refuse(*_args, **_more):
    raise AssertionError("a connection was tried")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
import pandas
from jobs.validation import expectations
from jobs.validation.check import Suite, values_in
frame = pandas.DataFrame({"value": [1]})
suite = Suite("s", frame, (values_in("v", "t", "value", {"value_set": [1]}),))
print(expectations.validate((suite,)).status)
from jobs.reports import figure
figure.svg(figure.blank(10, 10)[0], "x", "y")
"""


def test_nothing_is_left_behind_and_nobody_is_called(tmp_path: Path) -> None:
    """Judging and plotting leave no file in the home or the working folder and open no connection."""
    folders = {name: tmp_path / name for name in ("home", "work", "tmp")}
    for folder in folders.values():
        folder.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environ |= {"HOME": str(folders["home"]), "TMPDIR": str(folders["tmp"])}
    environ.pop("MPLCONFIGDIR", None)
    done = subprocess.run(
        [sys.executable, "-c", _JUDGE],
        cwd=folders["work"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "passed"
    assert [path for folder in folders.values() for path in folder.rglob("*")] == []
