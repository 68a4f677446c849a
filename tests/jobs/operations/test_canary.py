"""Canaries: started, changed, stopped, promoted."""

import pytest

from jobs.operations import canary, releases, restore, rollback
from jobs.pipeline import activate, publish, retire
from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import GateRefused, WrongUsage
from jobs.runtime.settings import Settings
from tests.harness import store
from tests.harness.releases import write_release


@pytest.fixture
def live(artifacts: Artifacts, settings: Settings) -> str:
    """A live release."""
    return store.go_live(artifacts, settings, "2026-01-01")


def loaded(artifacts: Artifacts, settings: Settings, variant: int = 1, verdict: str = "go") -> str:
    """A release beside it."""
    folder = write_release(artifacts.root, "2026-01-02", variant=variant, verdict=verdict)
    publish.run(folder, settings)
    return folder.release


def start(
    artifacts: Artifacts, settings: Settings, release: str, share: float
) -> canary.CanaryResult:
    """Start a canary."""
    return canary.start(
        artifacts, settings, release=release, share=share, by="ada", reason="compare"
    )


def test_a_canary_starts_changes_and_stops(
    artifacts: Artifacts, settings: Settings, live: str
) -> None:
    """The live release stays; each step is a generation and stands in the journal; the lists can come back."""
    second = loaded(artifacts, settings)
    for share, generation in ((0.05, 2), (0.5, 3)):
        outcome = start(artifacts, settings, second, share)
        assert (outcome.canary, outcome.share, outcome.generation) == (second, share, generation)
        found = releases.run(artifacts, settings)
        assert (found.live, found.canary, found.canary_share) == (live, second, share)
    outcome = canary.stop(artifacts, settings, by="ada", reason="enough seen")
    assert (outcome.canary, outcome.generation, outcome.quarantined_digest) == (None, 4, None)
    found = releases.run(artifacts, settings)
    assert (found.live, found.canary, found.canary_share) == (live, None, 0.0)
    actions = [e["action"] for e in journal.read(artifacts.journal) if e["action"] != "outcome"]
    assert actions == ["activate", "canary_start", "canary_start", "canary_stop"]
    assert activate.run(artifacts, second, settings).release == second


def test_a_canary_can_be_stopped_for_good(
    artifacts: Artifacts, settings: Settings, live: str
) -> None:
    """With quarantine its lists never come back, not after a wipe either."""
    second = loaded(artifacts, settings)
    start(artifacts, settings, second, 0.1)
    canary.stop(artifacts, settings, by="ada", reason="odd lists", quarantine=True)
    with pytest.raises(GateRefused, match=r"quarantined \(odd lists\)"):
        activate.run(artifacts, second, settings)
    store.wipe(settings)
    assert restore.run(artifacts, settings).release == live
    with pytest.raises(GateRefused, match="quarantined"):
        publish.run(artifacts.release(second), settings)


def test_a_canary_is_promoted(artifacts: Artifacts, settings: Settings, live: str) -> None:
    """It becomes the live release, the old one the previous, and there is no canary any more."""
    second = loaded(artifacts, settings)
    start(artifacts, settings, second, 0.1)
    outcome = canary.promote(artifacts, settings, by="ada", reason="better")
    assert (outcome.release, outcome.previous, outcome.generation) == (second, live, 3)
    assert releases.run(artifacts, settings).canary is None
    assert journal.read(artifacts.journal)[-2]["action"] == "canary_promote"


def test_an_activation_or_a_rollback_ends_the_canary(
    artifacts: Artifacts, settings: Settings, live: str
) -> None:
    """Whoever moves the live pointer takes all users along."""
    second, next_one = loaded(artifacts, settings), loaded(artifacts, settings, variant=2)
    start(artifacts, settings, second, 0.1)
    activate.run(artifacts, next_one, settings)
    assert releases.run(artifacts, settings).canary is None
    start(artifacts, settings, second, 0.1)
    rollback.run(artifacts, settings, to=live, by="ada", reason="odd")
    found = releases.run(artifacts, settings)
    assert (found.live, found.canary) == (live, None)


def test_a_canary_is_dropped_by_a_restore_and_kept_by_retire(
    artifacts: Artifacts, settings: Settings, live: str
) -> None:
    """Retire leaves its lists alone; a wiped cluster comes back without it."""
    second = loaded(artifacts, settings)
    start(artifacts, settings, second, 0.1)
    assert retire.run(settings).retired == []
    store.wipe(settings)
    restore.run(artifacts, settings)
    found = releases.run(artifacts, settings)
    assert (found.live, found.canary, found.loaded) == (live, None, {live: "verified"})


def test_what_cannot_be_a_canary(artifacts: Artifacts, settings: Settings, live: str) -> None:
    """The live release, one that was not published, a share of nothing or of more than all."""
    second = loaded(artifacts, settings)
    unpublished = write_release(artifacts.root, "2026-01-03", variant=3).release
    with pytest.raises(WrongUsage, match="is live"):
        start(artifacts, settings, live, 0.1)
    with pytest.raises(GateRefused, match="never verified"):
        start(artifacts, settings, unpublished, 0.1)
    for share in (0.0, -0.1, 1.1):
        with pytest.raises(WrongUsage, match="share"):
            start(artifacts, settings, second, share)
    for step in (canary.stop, canary.promote):
        with pytest.raises(WrongUsage, match="no canary"):
            step(artifacts, settings, by="ada", reason="x")


def test_no_canary_without_a_live_release(artifacts: Artifacts, settings: Settings) -> None:
    """A share of nobody."""
    with pytest.raises(WrongUsage, match="no release is live"):
        start(artifacts, settings, loaded(artifacts, settings), 0.1)


def test_lists_that_are_live_too_are_not_barred(
    artifacts: Artifacts, settings: Settings, live: str
) -> None:
    """A canary with the live release's very lists cannot be quarantined; the canary goes on."""
    twin = loaded(artifacts, settings, variant=0)
    start(artifacts, settings, twin, 0.1)
    with pytest.raises(WrongUsage, match="very same lists"):
        canary.stop(artifacts, settings, by="ada", reason="x", quarantine=True)
    found = releases.run(artifacts, settings)
    assert (found.live, found.canary, found.quarantined) == (live, twin, {})
    canary.stop(artifacts, settings, by="ada", reason="x")
