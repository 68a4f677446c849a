"""Two histories of one store: found by every command before it changes anything, and made one again."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.operations import canary, reconcile, releases, restore, rollback
from jobs.pipeline import activate, publish, retire, run
from jobs.release import checksum, journal, journal_identity
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, GateRefused, NightshelfError
from jobs.runtime.settings import Settings
from jobs.store import histories
from jobs.store.activation import Approval
from tests.harness import store
from tests.harness.crashes import crashing
from tests.harness.releases import write_release

COPY = "shelf:journal"
WHY: dict[str, Any] = {"by": "ada", "reason": "a test"}
APPROVAL = Approval("ada", "it is ours")

Folders = tuple[Artifacts, Settings]


@pytest.fixture
def days(artifacts: Artifacts, settings: Settings) -> list[str]:
    """Three releases, live in turn; `older` beside the journal is the journal before the last activation."""
    found = [store.go_live(artifacts, settings, f"2026-01-0{d}", variant=d) for d in (1, 2)]
    shutil.copytree(artifacts.journal, artifacts.root / "older")
    return [*found, store.go_live(artifacts, settings, "2026-01-03", variant=3)]


def bring_back_older(artifacts: Artifacts) -> None:
    """The journal comes back from a backup that was made before the last activation."""
    shutil.rmtree(artifacts.journal)
    shutil.copytree(artifacts.root / "older", artifacts.journal)


def second(settings: Settings) -> Folders:
    """Another artifacts folder on the same namespace, with a release of its own."""
    other = replace(settings, artifacts=settings.artifacts / "second")
    return Artifacts(other.artifacts), other


def commands(artifacts: Artifacts, settings: Settings, release: str) -> list[Callable[[], object]]:
    """Every command that changes the store."""
    return [
        lambda: publish.run(artifacts.release(release), settings),
        lambda: activate.run(artifacts, release, settings, force=True),
        lambda: rollback.run(artifacts, settings, to=None, **WHY),
        lambda: canary.start(artifacts, settings, release=release, share=0.5, **WHY),
        lambda: canary.stop(artifacts, settings, **WHY),
        lambda: canary.promote(artifacts, settings, **WHY),
        lambda: retire.run(settings),
        lambda: restore.run(artifacts, settings),
        lambda: run.run(settings, "2026-01-09"),
    ]


def refused(artifacts: Artifacts, settings: Settings, release: str, match: str) -> None:
    """Every command says it, changes nothing in Redis and writes nothing into the journal; twice, as people try."""
    before = store.fields(settings), store.fields(settings, COPY)
    entries = journal.numbers(artifacts.journal)
    for command in commands(artifacts, settings, release) * 2:
        with pytest.raises(BrokenInput, match=rf"{match}[\s\S]*nightshelf reconcile"):
            command()
    assert match in str(releases.run(artifacts, settings).another_history)
    assert (store.fields(settings), store.fields(settings, COPY)) == before
    assert journal.numbers(artifacts.journal) == entries


def test_a_journal_from_an_older_copy_is_found_and_brought_up(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """All commands refuse; a dry run changes nothing; afterwards the journal is Redis's and a rollback is one."""
    whole = journal.read(artifacts.journal)
    bring_back_older(artifacts)
    refused(artifacts, settings, days[2], "the journal ends with entry 4")
    planned = reconcile.run(artifacts, settings, dry_run=True)
    assert (planned.differs_at, planned.set_aside, planned.taken) == (5, [], [5, 6])
    assert len(journal.read(artifacts.journal)) == 4
    done = reconcile.run(artifacts, settings)
    assert (done.differs_at, done.taken, done.set_aside_in) == (5, [5, 6], [])
    assert journal.read(artifacts.journal) == whole
    assert releases.run(artifacts, settings).another_history is None
    assert not restore.run(artifacts, settings).restored
    outcome = rollback.run(artifacts, settings, to=None, **WHY)
    found = releases.run(artifacts, settings)
    assert (found.live, found.generation, outcome.generation) == (days[1], 4, 4)
    assert list(found.quarantined) == [outcome.quarantined_digest]
    assert reconcile.run(artifacts, settings).problem is None


def test_a_deleted_journal_comes_back_from_redis(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """Nothing claims the store anew; reconcile brings back every entry and the journal's id."""
    whole, identity = journal.read(artifacts.journal), journal_identity.read(artifacts.journal)
    shutil.rmtree(artifacts.journal)
    refused(artifacts, settings, days[1], "the store belongs to journal")
    assert reconcile.run(artifacts, settings).taken == [1, 2, 3, 4, 5, 6]
    assert journal.read(artifacts.journal) == whole
    assert journal_identity.read(artifacts.journal) == identity
    assert activate.run(artifacts, days[1], settings, force=True).generation == 4
    assert releases.run(artifacts, settings).live == days[1]


def test_a_second_artifacts_folder_is_refused(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """Also one with a longer journal than the store's, and one that would quarantine its lists."""
    other, others = second(settings)
    folder = write_release(other.root, "2026-01-04", variant=4)
    for _ in range(9):
        journal.append(other.journal, journal.REFUSAL, who="bob", why="x", to=None)
    refused(other, others, folder.release, "the store belongs to journal")
    stopped = write_release(other.root, "2026-01-05", variant=5, verdict="stop")
    with pytest.raises(BrokenInput, match="belongs to journal"):
        publish.run(stopped, others)
    assert releases.run(artifacts, settings).quarantined == {}
    assert releases.run(artifacts, settings).live == days[2]


def test_what_the_local_history_had_is_set_aside_and_its_quarantine_stays(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """Entries that only this journal has go to a dated folder; lists that they quarantined stay so, in Redis too."""
    bring_back_older(artifacts)
    entry = journal.append(
        artifacts.journal,
        journal.QUARANTINE,
        who="eve",
        why="odd",
        release="r",
        quarantined="d" * 64,
    )
    journal.append(artifacts.journal, journal.OUTCOME, of=entry["seq"], result="ok")
    journal.append(artifacts.journal, journal.REFUSAL, who="eve", why="x", to=None)
    refused(artifacts, settings, days[2], "entry 5 of the journal is another one")
    assert reconcile.run(artifacts, settings, dry_run=True).quarantined == ["d" * 64]
    done = reconcile.run(artifacts, settings)
    assert (done.set_aside, done.taken, done.quarantined) == ([5, 6, 7], [5, 6], ["d" * 64])
    (place,) = done.set_aside_in
    assert journal.intact(Path(place) / "journal")[5] == entry
    assert releases.run(artifacts, settings).quarantined == {"d" * 64: "odd"}
    assert journal.read(artifacts.journal)[6]["carried_over"] is True
    assert activate.run(artifacts, days[0], settings, force=True).generation == 4


def test_a_store_is_adopted_knowingly(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """Readers go on with what is live, the generation grows, quarantines stay, and then the old journal is refused."""
    barred = rollback.run(artifacts, settings, to=None, **WHY).quarantined_digest
    other, others = second(settings)
    folder = write_release(other.root, "2026-01-04", variant=4)
    before = store.fields(settings)
    planned = reconcile.run(other, others, adoption=APPROVAL, dry_run=True)
    assert (planned.adopted, planned.quarantined) == (True, [barred])
    assert (store.fields(settings), other.journal.exists()) == (before, False)
    done = reconcile.run(other, others, adoption=APPROVAL)
    assert done.set_aside == list(range(1, 9))
    assert sorted(journal.intact(Path(done.set_aside_in[0]) / "redis")) == done.set_aside
    found = releases.run(other, others)
    assert (found.live, found.generation, found.another_history) == (days[1], 5, None)
    assert (found.journal_live, list(found.quarantined)) == (days[1], [barred])
    refused(artifacts, settings, days[0], "the store belongs to journal")
    publish.run(folder, others)
    assert activate.run(other, folder.release, others).generation == 6
    assert reconcile.run(other, others, adoption=APPROVAL).adopted is False


def test_an_older_journal_can_adopt_the_store_too(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """Redis's entries are set aside on disk, and what Redis serves is live by the journal."""
    bring_back_older(artifacts)
    done = reconcile.run(artifacts, settings, adoption=APPROVAL)
    assert (done.set_aside, done.differs_at) == ([5, 6], 5)
    found = releases.run(artifacts, settings)
    assert (found.live, found.journal_live, found.another_history) == (days[2], days[2], None)
    outcome = rollback.run(artifacts, settings, to=days[0], **WHY)
    assert (outcome.left, outcome.generation) == (days[2], 5)


@pytest.mark.usefixtures("days")
def test_an_entry_that_is_broken_on_disk_comes_back(
    artifacts: Artifacts, settings: Settings
) -> None:
    """Altered or missing: the error leads to reconcile, which takes it from Redis's copy and keeps the altered file."""
    whole = journal.read(artifacts.journal)
    journal.path(artifacts.journal, 2).write_text("{}")
    journal.path(artifacts.journal, 4).unlink()
    with pytest.raises(BrokenInput, match=r"missing: 4[\s\S]*nightshelf reconcile"):
        restore.run(artifacts, settings)
    done = reconcile.run(artifacts, settings)
    assert (done.set_aside, done.taken) == ([2], [2, 4])
    assert (Path(done.set_aside_in[0]) / "journal" / "0000000002.json").read_text() == "{}"
    assert journal.read(artifacts.journal) == whole


def test_what_redis_does_not_hold_whole_is_not_taken(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """The copy lacks what the catalog has carried out, or was altered: refused, with adoption as the way out."""
    whole = store.fields(settings, COPY)
    altered = {**whole, b"5": whole[b"5"].replace(b"activate", b"rollback")}
    bring_back_older(artifacts)
    for copy in ({k: v for k, v in whole.items() if k not in {b"5", b"6"}}, altered):
        store.put_back(settings, copy, COPY)
        refused(artifacts, settings, days[2], "entry")
        with pytest.raises(BrokenInput, match=r"lacks entry 5[\s\S]*--adopt"):
            reconcile.run(artifacts, settings)
        assert len(journal.read(artifacts.journal)) == 4
    reconcile.run(artifacts, settings, adoption=APPROVAL)
    assert rollback.run(artifacts, settings, to=None, **WHY).left == days[2]


def test_a_wiped_redis_belongs_to_whoever_comes_first(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """An empty folder's restore does not take it; then a restore of the journal does, and others are refused."""
    store.wipe(settings)
    other, others = second(settings)
    restore.run(other, others)
    assert store.all_keys(settings) == set()
    assert restore.run(artifacts, settings).release == days[2]
    folder = write_release(other.root, "2026-01-04", variant=4)
    refused(other, others, folder.release, "the store belongs to journal")


def test_of_two_journals_that_race_for_a_fresh_redis_one_wins(settings: Settings) -> None:
    """Both publish at the same moment: one is loaded, the other one refused."""
    ended: list[str] = []
    ready = threading.Barrier(2)
    folders = []
    for name in ("a", "b"):
        own = replace(settings, artifacts=settings.artifacts / name)
        folders.append((write_release(own.artifacts, "2026-01-01"), own))

    def race(place: int) -> None:
        folder, own = folders[place]
        ready.wait()
        try:
            publish.run(folder, own)
            ended.append("published")
        except BrokenInput as error:
            ended.append("foreign" if "belongs to" in error.what else error.what)

    threads = [threading.Thread(target=race, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["foreign", "published"]


def _as_0_1_0_wrote_it(artifacts: Artifacts, settings: Settings) -> None:
    journal_identity.path(artifacts.journal).unlink()
    plain = {
        seq: json.dumps(checksum.opened(text), sort_keys=True).encode()
        for seq, text in store.fields(settings, COPY).items()
    }
    store.put_back(settings, plain, COPY)
    registry = {
        name: value.split(b" ")[0] if name.startswith(b"intent:") else value
        for name, value in store.fields(settings).items()
        if name != b"journal"
    }
    store.put_back(settings, registry)


def test_a_store_of_before_gets_its_identity_if_the_copy_is_the_same(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """At the first command, with checksums in the copy from then on, also if an entry was not copied yet."""
    _as_0_1_0_wrote_it(artifacts, settings)
    journal.append(artifacts.journal, journal.REFUSAL, who="ada", why="x", to=None)
    assert not restore.run(artifacts, settings).restored
    identity = journal_identity.read(artifacts.journal)
    assert store.fields(settings)[b"journal"].decode() == identity
    copied = store.fields(settings, COPY)
    assert [checksum.opened(copied[str(n).encode()]) for n in range(1, 8)] == journal.read(
        artifacts.journal
    )
    assert rollback.run(artifacts, settings, to=None, **WHY).left == days[2]


@pytest.mark.parametrize("copy", ["another", "longer", "none"])
def test_a_store_of_before_with_another_copy_has_to_be_adopted(
    artifacts: Artifacts, settings: Settings, days: list[str], copy: str
) -> None:
    """Different, longer or gone: nothing proves that it is this journal's, so a person has to say so."""
    _as_0_1_0_wrote_it(artifacts, settings)
    copied = store.fields(settings, COPY)
    if copy == "another":
        store.put_back(settings, {**copied, b"3": copied[b"3"].replace(b"go", b"no")}, COPY)
    elif copy == "longer":
        store.put_back(
            settings, {**copied, b"7": copied[b"3"].replace(b'"seq": 3', b'"seq": 7')}, COPY
        )
    else:
        with store.connected(settings) as cluster:
            cluster.delete(COPY)
    with pytest.raises(BrokenInput, match="--adopt"):
        restore.run(artifacts, settings)
    assert journal_identity.read(artifacts.journal) is None
    reconcile.run(artifacts, settings, adoption=APPROVAL)
    assert not restore.run(artifacts, settings).restored
    assert rollback.run(artifacts, settings, to=days[0], **WHY).left == days[2]


@pytest.mark.parametrize("adoption", [None, APPROVAL])
def test_killed_anywhere_the_same_command_finishes_it(
    artifacts: Artifacts, settings: Settings, days: list[str], adoption: Approval | None
) -> None:
    """Before any write: until it is finished no other command changes anything, and no quarantine gets lost."""
    bring_back_older(artifacts)
    entry = journal.append(
        artifacts.journal,
        journal.QUARANTINE,
        who="eve",
        why="odd",
        release="r",
        quarantined="d" * 64,
    )
    journal.append(artifacts.journal, journal.OUTCOME, of=entry["seq"], result="ok")
    start = store.fields(settings), store.fields(settings, COPY)
    kept = artifacts.root / "kept"
    shutil.copytree(artifacts.journal, kept)
    fatal, died = 1, True
    while died:
        shutil.rmtree(artifacts.journal)
        shutil.rmtree(artifacts.root / "journal_set_aside", ignore_errors=True)
        shutil.copytree(kept, artifacts.journal)
        store.put_back(settings, start[0])
        store.put_back(settings, start[1], COPY)
        with crashing(fatal) as counter:
            reconcile.run(artifacts, settings, adoption=adoption)
        died, fatal = counter.crashed, fatal + 1
        if died and releases.run(artifacts, settings).another_history is not None:
            with pytest.raises(BrokenInput):
                activate.run(artifacts, days[0], settings, force=True)
        reconcile.run(artifacts, settings, adoption=adoption)
        found = releases.run(artifacts, settings)
        assert (found.live, found.another_history) == (days[2], None)
        assert found.quarantined == {"d" * 64: "odd"}
        copied = store.fields(settings, COPY)
        read = journal.read(artifacts.journal)
        assert [checksum.opened(copied[str(e["seq"]).encode()]) for e in read] == read
        assert len(copied) == len(read)
    assert fatal > 15


@pytest.mark.usefixtures("days")
def test_another_histories_intent_is_never_taken_for_ones_own(
    artifacts: Artifacts, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two copies of one folder act at the same moment: the catalog itself refuses the number it knows otherwise."""
    bring_back_older(artifacts)
    monkeypatch.setattr(histories, "require_one", lambda *_: None)
    before = store.fields(settings)
    with pytest.raises(BrokenInput, match="another entry under the number 5"):
        rollback.run(artifacts, settings, to=None, **WHY)
    assert store.fields(settings) == before


def test_nothing_else_is_refused_that_is_in_order(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """A stopped release and an approval that is missing are refused for what they are."""
    stopped = write_release(artifacts.root, "2026-01-04", variant=4, verdict="stop")
    with pytest.raises(GateRefused, match="stop"):
        publish.run(stopped, settings)
    with pytest.raises(NightshelfError, match="live already"):
        rollback.run(artifacts, settings, to=days[2], **WHY)
