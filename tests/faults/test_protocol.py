"""The protocol of jobs/store, searched whole by spin for a way to break its promises (tests/faults/protocol.pml)."""

import subprocess
from pathlib import Path

import pytest

_MODEL = Path(__file__).with_name("protocol.pml")
_VIOLATED = "assertion violated"

#: Crashes, wipes of Redis, leases that run out under a live publisher, repeated calls, commands of each publisher.
Bounds = tuple[int, int, int, int, int]


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where a test's search is made: compiled without optimisation unless the search is long."""
    # gcc takes 9 s with -O1 and 2 s without, a short search 2 s and 4 s.
    level = "-O1" if request.node.get_closest_marker("slow") else "-O0"
    (tmp_path / "gcc-options").write_text(level, encoding="utf-8")
    return tmp_path


def _searched(folder: Path, bounds: Bounds, *without: str) -> str:
    """Return what spin says of the model within these bounds, with some guards taken away or other bounds set."""
    names = ("CRASHES", "WIPES", "FROZEN", "REPEATS", "COMMANDS")
    defined = [f"-D{name}={n}" for name, n in zip(names, bounds, strict=True)]
    defined += [f"-D{guard}" for guard in without]
    subprocess.run(["spin", "-a", *defined, str(_MODEL)], cwd=folder, check=True)
    options = ["@gcc-options", "-w", "-DSAFETY", "-DVECTORSZ=2048", "-DCOLLAPSE"]
    subprocess.run(["gcc", *options, "-o", "pan", "pan.c"], cwd=folder, check=True)
    found = subprocess.run(
        ["./pan", "-m200000"], cwd=folder, check=True, capture_output=True, text=True
    )
    assert "max search depth too small" not in found.stdout
    return found.stdout


def _holds(folder: Path, bounds: Bounds, *more: str) -> None:
    told = _searched(folder, bounds, *more)
    assert "errors: 0" in told, told
    assert "Search not completed" not in told, told


def test_nothing_breaks_it_while_one_publisher_dies_and_redis_is_wiped(folder: Path) -> None:
    """Live is complete, the generation grows, nothing readable goes, barred lists stay barred, the next goes on."""
    _holds(folder, (1, 1, 0, 0, 1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bounds", [(1, 1, 1, 1, 1), (0, 1, 0, 0, 2)])
def test_nothing_breaks_it_in_larger_searches(folder: Path, bounds: Bounds) -> None:
    """The same with a frozen publisher and a repeated call besides, and with a wipe and two commands each."""
    _holds(folder, bounds)


def test_a_journal_that_goes_back_in_time_breaks_nothing(folder: Path) -> None:
    """It comes back without its last entry: nothing is claimed that was not done, and the next goes on."""
    _holds(folder, (0, 0, 0, 0, 1), "BACKS=1")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("bounds", "backs"), [((1, 1, 0, 0, 1), 1), ((0, 1, 0, 1, 1), 2)])
def test_nor_with_other_misfortune_besides(folder: Path, bounds: Bounds, backs: int) -> None:
    """The same while a publisher dies and Redis is wiped, and twice with a repeated call."""
    _holds(folder, bounds, f"BACKS={backs}")


@pytest.mark.parametrize(
    ("guards", "bounds"),
    [
        (("NO_COMPARE", "NO_DIGEST"), (0, 0, 0, 0, 1)),
        (("NO_COMPARE",), (0, 1, 0, 0, 1)),
    ],
)
def test_a_number_alone_proves_nothing(
    folder: Path, guards: tuple[str, ...], bounds: Bounds
) -> None:
    """Without comparing, by number alone or after a wipe, spin finds a way to break a promise."""
    assert _VIOLATED in _searched(folder, bounds, "BACKS=1", *guards)


@pytest.mark.parametrize(
    ("guard", "bounds"),
    [
        ("NO_TOKEN", (0, 0, 1, 0, 1)),
        pytest.param("NO_GRACE", (0, 0, 0, 0, 2), marks=pytest.mark.slow),
        pytest.param("NO_CLOSE", (1, 0, 0, 0, 2), marks=pytest.mark.slow),
        pytest.param("NO_GENERATION", (0, 0, 0, 0, 2), marks=pytest.mark.slow),
        pytest.param("NO_DEADLINE", (0, 0, 1, 0, 2), marks=pytest.mark.slow),
        pytest.param("NO_QUARANTINE", (0, 0, 0, 0, 2), marks=pytest.mark.slow),
        pytest.param("NO_RUN", (1, 1, 1, 0, 1), marks=pytest.mark.slow),
    ],
)
def test_each_guard_is_needed(folder: Path, guard: str, bounds: Bounds) -> None:
    """Without the guard spin finds a way to break a promise."""
    assert _VIOLATED in _searched(folder, bounds, guard)
