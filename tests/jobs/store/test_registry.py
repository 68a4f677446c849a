"""The catalog's transitions, each against a real Redis."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jobs.runtime.errors import BrokenInput
from jobs.runtime.settings import Settings
from jobs.store.registry import Answer, Registry
from schemas import keys
from tests.harness import store

OLD, NEW, OTHER = "2026-01-01-00000001", "2026-01-02-00000002", "2026-01-03-00000003"
MINUTE_MS = 60_000
MINE = "t"
WHY = '{"why": "odd"}'


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    """An empty catalog."""
    with store.connected(settings) as cluster:
        yield Registry(cluster, settings.namespace)


def begin(
    registry: Registry, release: str, token: str = MINE, digest: str = "", lease_ms: int = MINUTE_MS
) -> Answer:
    """Begin to load a release; its digest is its id unless given."""
    partition = release[:10]
    return registry.change(
        "begin_load", release, digest or release, partition, token, "me", lease_ms, "[1, 1]"
    )


def verified(registry: Registry, release: str, digest: str = "") -> None:
    """Load a release, in the catalog's eyes."""
    assert begin(registry, release, digest=digest).ok
    assert registry.change("verify", release, MINE).ok


def activate(registry: Registry, seq: int, expected: int, release: str, force: int = 0) -> Answer:
    """Activate a release, making the generation after the expected one."""
    return registry.change("activate", seq, expected, expected + 1, release, force)


def two_live(registry: Registry) -> None:
    """Activate OLD as generation 1 and NEW as generation 2."""
    for seq, release in ((1, OLD), (3, NEW)):
        verified(registry, release)
        assert activate(registry, seq, registry.read().generation, release).ok


def test_the_script_and_the_schemas_name_the_same_fields(
    registry: Registry, settings: Settings
) -> None:
    """After every kind of change the hash holds the fields of schemas.keys and no others."""
    two_live(registry)
    verified(registry, OTHER)
    assert registry.change("start_canary", 5, 2, 3, OTHER, 0.5).ok
    assert registry.change("quarantine", "barred", WHY).ok
    single = {*keys.POINTER_FIELDS, keys.LIVE_PARTITION}
    prefixes = (keys.RELEASE_FIELD, keys.QUARANTINE_FIELD, keys.INTENT_FIELD)
    found = {name.decode() for name in store.fields(settings)}
    assert {name for name in found if not name.startswith(prefixes)} == single
    assert {name.split(":")[0] + ":" for name in found - single} == set(prefixes)


def test_a_second_publisher_waits_for_the_first(registry: Registry) -> None:
    """While a lease runs nobody else may load, neither another release nor the same; the answer says who and since."""
    begun_ms = time.time() * 1000
    assert begin(registry, OLD, "first").ok
    for release in (OLD, NEW):
        answer = begin(registry, release, "second")
        assert (answer.word, *answer.details[:3]) == ("busy", OLD, "loading", "me")
        assert abs(int(answer.details[3]) - begun_ms) < MINUTE_MS
        assert 0 < int(answer.details[4]) <= MINUTE_MS


def test_a_dead_publisher_is_taken_over(registry: Registry, settings: Settings) -> None:
    """After its lease another one may load; the dead load is named, and the dead publisher can do nothing more."""
    assert begin(registry, OLD, "dead").ok
    store.end_leases(settings)
    assert begin(registry, NEW, "alive") == Answer("ok", (OLD,))
    for transition in ("renew", "verify", "abandon"):
        assert registry.change(transition, OLD, "dead", MINUTE_MS).word == "overtaken"
    assert registry.read().releases[OLD]["state"] == "retiring"


def test_a_dead_publisher_of_the_same_release_is_taken_over(
    registry: Registry, settings: Settings
) -> None:
    """The token tells the two apart: only the new one may verify."""
    assert begin(registry, OLD, "dead").ok
    store.end_leases(settings)
    assert begin(registry, OLD, "alive") == Answer("ok")
    for transition in ("verify", "abandon"):
        assert registry.change(transition, OLD, "dead").word == "overtaken"
    assert registry.change("renew", OLD, "dead", MINUTE_MS).word == "overtaken"
    assert registry.change("verify", OLD, "alive").ok


def test_a_lease_from_a_clock_that_ran_ahead_blocks_nobody(
    registry: Registry, settings: Settings
) -> None:
    """After a failover to a server an hour behind, a dead lease seems to last an hour: it counts as over."""
    assert begin(registry, OLD, "dead").ok
    name = f"release:{OLD}".encode()
    record = json.loads(store.fields(settings)[name])
    record["lease_until_ms"] += 3_600_000
    store.put_back(settings, {name: json.dumps(record).encode()})
    assert begin(registry, NEW, "alive") == Answer("ok", (OLD,))


def test_renewing_prolongs_a_lease(registry: Registry, settings: Settings) -> None:
    """A lease that has run out and was not taken over goes on when renewed."""
    assert begin(registry, OLD, "slow").ok
    store.end_leases(settings)
    assert registry.change("renew", OLD, "slow", MINUTE_MS).ok
    assert begin(registry, NEW, "second").word == "busy"


def test_loading_what_is_loaded(registry: Registry) -> None:
    """The same lists under the same id are already there; other lists under the same id are a conflict."""
    verified(registry, OLD)
    assert begin(registry, OLD) == Answer("already")
    assert begin(registry, OLD, digest="other") == Answer("conflict", (OLD,))


@pytest.mark.parametrize(
    ("transition", "arguments"),
    [
        ("activate", (5, 2, 3, OTHER, 0)),
        ("rollback", (5, 2, 3, OTHER, WHY)),
        ("start_canary", (5, 2, 3, OTHER, 0.1)),
        ("restore", (5, 2, 3, OTHER, "")),
    ],
)
def test_only_what_is_whole_and_not_barred_is_pointed_to(
    registry: Registry, transition: str, arguments: tuple[str | int, ...]
) -> None:
    """Each change of the pointer refuses a release that is unknown, loading, quarantined or being removed."""
    two_live(registry)
    before = registry.read().pointer
    assert registry.change(transition, *arguments) == Answer("unverified", ("not loaded",))
    assert begin(registry, OTHER).ok
    assert registry.change(transition, *arguments) == Answer("unverified", ("loading",))
    assert registry.change("verify", OTHER, MINE).ok
    assert registry.change("quarantine", OTHER, WHY).ok
    assert registry.change(transition, *arguments) == Answer("quarantined", (WHY,))
    assert registry.change("begin_retire", OTHER, 0, "r", "me", MINUTE_MS).ok
    assert registry.change(transition, *arguments) == Answer("unverified", ("retiring",))
    assert registry.read().pointer == before


@pytest.mark.parametrize(
    ("transition", "arguments"),
    [
        ("activate", (OLD, 1)),
        ("rollback", (OLD, WHY)),
        ("start_canary", (OLD, 0.1)),
        ("stop_canary", ("",)),
        ("restore", (OLD, "")),
    ],
)
def test_a_change_made_for_another_generation_is_refused(
    registry: Registry, transition: str, arguments: tuple[str | int, ...]
) -> None:
    """The pointer moved meanwhile: refused; and no change may lower the generation or keep it."""
    two_live(registry)
    for expected, following in ((1, 2), (3, 4), (2, 2), (2, 1)):
        answer = registry.change(transition, 5, expected, following, *arguments)
        assert answer == Answer("generation", ("2",))
    assert registry.read().generation == 2


def test_a_change_that_arrives_twice_is_made_once(registry: Registry) -> None:
    """A client that repeats a call whose answer was lost gets the first call's answer, even after later changes."""
    verified(registry, OLD)
    verified(registry, NEW)
    assert activate(registry, 1, 0, OLD) == Answer("ok", ("1",))
    assert activate(registry, 1, 0, OLD) == Answer("ok", ("1",))
    assert activate(registry, 3, 1, NEW) == Answer("ok", ("2",))
    assert activate(registry, 1, 0, OLD) == Answer("ok", ("1",))
    pointer = registry.read().pointer
    assert pointer is not None
    assert (pointer.live, pointer.previous, pointer.generation) == (NEW, OLD, 2)


def test_loads_and_removals_that_arrive_twice(registry: Registry) -> None:
    """Every other transition repeated with its own token gives the same answer again."""
    assert [begin(registry, OLD).word for _ in range(2)] == ["ok", "ok"]
    assert [registry.change("verify", OLD, MINE).word for _ in range(2)] == ["ok", "ok"]
    removal = ("begin_retire", OLD, 0, "r", "me", MINUTE_MS)
    assert [registry.change(*removal).word for _ in range(2)] == ["ok", "ok"]
    assert [registry.change("finish_retire", OLD, "r").word for _ in range(2)] == ["ok", "ok"]
    assert begin(registry, NEW).ok
    assert [registry.change("abandon", NEW, MINE).word for _ in range(2)] == ["ok", "ok"]


def test_an_intent_that_was_given_up_can_no_longer_be_carried_out(registry: Registry) -> None:
    """A command that was held up until another one settled its intent finds the door closed."""
    verified(registry, OLD)
    assert registry.change("close", 1, 0, OLD) == Answer("closed")
    assert activate(registry, 1, 0, OLD) == Answer("closed")
    assert registry.read().pointer is None


def test_settling_an_intent_that_was_carried_out_says_so(registry: Registry) -> None:
    """Closing tells the generation that the change made."""
    verified(registry, OLD)
    assert activate(registry, 1, 0, OLD).ok
    assert registry.change("close", 1, 0, OLD) == Answer("ok", ("1",))


def test_an_intent_is_known_by_its_content(registry: Registry, settings: Settings) -> None:
    """The number of an intent that was carried out or closed is refused with another digest, for each transition."""
    two_live(registry)
    verified(registry, OTHER)
    assert registry.change("activate", "5:aa", 2, 3, OTHER, 0) == Answer("ok", ("3",))
    assert registry.change("activate", "5:aa", 2, 3, OTHER, 0) == Answer("ok", ("3",))
    assert registry.change("close", "6:aa", 3, "") == Answer("closed")
    assert store.fields(settings)[b"intent:5"] == b"3 aa"
    assert registry.read().intents == {1: "", 3: "", 5: "aa", 6: "aa"}
    before = store.fields(settings)
    for intent in ("5:bb", "6:bb"):
        for transition, *arguments in (
            ("activate", OLD, 1),
            ("rollback", OLD, WHY),
            ("start_canary", OLD, 0.1),
            ("stop_canary", ""),
            ("restore", OLD, ""),
        ):
            with pytest.raises(BrokenInput, match=r"another entry under the number [56]"):
                registry.change(str(transition), intent, 3, 4, *arguments)
        with pytest.raises(BrokenInput, match="another entry"):
            registry.change("close", intent, 3, "")
    assert store.fields(settings) == before


def test_a_store_obeys_its_own_journal_alone(registry: Registry, settings: Settings) -> None:
    """Once claimed, whatever a command of another journal asks for is refused and changes nothing."""
    two_live(registry)
    registry.journal = "mine"
    assert [registry.change("claim").word for _ in range(2)] == ["ok", "ok"]
    assert registry.read().journal == "mine"
    before = store.fields(settings)
    for registry.journal in ("theirs", ""):
        for transition, *arguments in (
            ("claim",),
            ("begin_load", OTHER, "d", "2026-01-03", MINE, "me", MINUTE_MS, "[1, 1]"),
            ("activate", "5:aa", 2, 3, OLD, 1),
            ("quarantine", "d", WHY),
            ("close", "5:aa", 2, ""),
            ("begin_retire", OLD, 0, "r", "me", MINUTE_MS),
        ):
            with pytest.raises(BrokenInput, match="belongs to another journal: mine"):
                registry.change(str(transition), *arguments)
    assert store.fields(settings) == before


def test_a_store_is_taken_over_once(registry: Registry) -> None:
    """The pointer stays, the generation grows, the other journal's intents are forgotten; told twice, done once."""
    two_live(registry)
    registry.journal = "mine"
    assert registry.change("claim").ok
    pointer = registry.read().pointer
    registry.journal = "theirs"
    assert registry.change("adopt", "1:bb", 1, 2) == Answer("generation", ("2",))
    assert registry.change("adopt", "1:bb", 2, 3) == Answer("ok", ("3",))
    assert registry.change("adopt", "1:bb", 2, 3) == Answer("ok", ("3",))
    after = registry.read()
    assert pointer is not None
    assert after.pointer == replace(pointer, generation=3)
    assert (after.journal, after.intents) == ("theirs", {1: "bb"})
    registry.journal = "mine"
    with pytest.raises(BrokenInput, match="theirs"):
        activate(registry, 5, 3, OLD, force=1)


def test_a_catalog_that_lost_data_settles_nothing(registry: Registry, settings: Settings) -> None:
    """Where the generation or the release an intent began with is gone, nobody can say what became of it."""
    two_live(registry)
    assert registry.change("close", 5, 3, "") == Answer("behind", ("2",))
    store.wipe(settings)
    assert registry.change("close", 1, 0, OLD) == Answer("behind", ("0",))


def test_of_many_commands_at_once_one_wins(registry: Registry, settings: Settings) -> None:
    """Twenty threads that all saw the same generation: one change, nineteen refusals, one generation more."""
    two_live(registry)
    verified(registry, OTHER)
    answers: list[Answer] = []
    ready = threading.Barrier(20)

    def race(seq: int) -> None:
        with store.connected(settings) as cluster:
            own = Registry(cluster, settings.namespace)
            ready.wait()
            answers.append(own.change("activate", seq, 2, 3, OTHER if seq % 2 else OLD, 1))

    threads = [threading.Thread(target=race, args=(seq,)) for seq in range(5, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.word for answer in answers) == ["generation"] * 19 + ["ok"]
    assert registry.read().generation == 3


def test_an_older_partition_needs_force(registry: Registry) -> None:
    """A backfilled day does not replace a newer live one; forced it does, and the newer one is the previous."""
    verified(registry, OLD)
    verified(registry, NEW)
    assert activate(registry, 1, 0, NEW).ok
    assert activate(registry, 3, 1, OLD) == Answer("older", (NEW,))
    assert activate(registry, 5, 1, OLD, force=1).ok
    pointer = registry.read().pointer
    assert pointer is not None
    assert (pointer.live, pointer.previous) == (OLD, NEW)


def test_rolling_back_bars_what_it_leaves(registry: Registry) -> None:
    """In one call the pointer goes back, the previous release is none and the digest that was left is quarantined."""
    two_live(registry)
    assert registry.change("rollback", 5, 2, 3, OLD, WHY) == Answer("ok", ("3",))
    content = registry.read()
    assert content.pointer is not None
    assert (content.pointer.live, content.pointer.previous) == (OLD, None)
    assert content.quarantine == {NEW: {"why": "odd"}}


def test_lists_that_stay_live_are_never_barred(registry: Registry) -> None:
    """Two releases with the same lists: rolling back from one to the other, or barring the canary's, is refused."""
    verified(registry, OLD, digest="same")
    verified(registry, NEW, digest="same")
    assert activate(registry, 1, 0, OLD).ok
    assert activate(registry, 3, 1, NEW).ok
    assert registry.change("rollback", 5, 2, 3, OLD, WHY) == Answer("same_lists", ("same",))
    assert registry.change("quarantine", "same", WHY) == Answer("served", (NEW,))
    assert registry.change("start_canary", 7, 2, 3, OLD, 0.1).ok
    assert registry.change("stop_canary", 9, 3, 4, WHY) == Answer("same_lists", ("same",))
    assert registry.change("stop_canary", 11, 3, 4, "").ok
    assert registry.read().quarantine == {}


def test_a_canary_comes_changes_and_goes(registry: Registry) -> None:
    """Each step is a generation more; stopping with a reason bars its lists; an activation ends it."""
    two_live(registry)
    verified(registry, OTHER)
    assert registry.change("stop_canary", 5, 2, 3, "").word == "no_canary"
    assert registry.change("start_canary", 7, 2, 3, NEW, 0.1).word == "already"
    for seq, expected, share in ((9, 2, 0.1), (11, 3, 0.5)):
        assert registry.change("start_canary", seq, expected, expected + 1, OTHER, share).ok
        pointer = registry.read().pointer
        assert pointer is not None
        assert (pointer.canary, pointer.canary_share) == (OTHER, share)
    assert registry.change("stop_canary", 13, 4, 5, WHY).ok
    content = registry.read()
    assert content.pointer is not None
    assert content.pointer.canary is None
    assert set(content.quarantine) == {OTHER}
    assert registry.change("start_canary", 15, 5, 6, OLD, 0.1).ok
    assert activate(registry, 17, 6, OLD, force=1).ok
    pointer = registry.read().pointer
    assert pointer is not None
    assert pointer.canary is None


def test_nothing_that_may_be_read_is_removed(registry: Registry) -> None:
    """Live, previous and canary stay whatever the grace; what was one of them stays for the grace time."""
    two_live(registry)
    verified(registry, OTHER)
    assert registry.change("start_canary", 5, 2, 3, OTHER, 0.1).ok
    for release in (OLD, NEW, OTHER):
        assert (
            registry.change("begin_retire", release, 0, "r", "me", MINUTE_MS).word == "referenced"
        )
    assert registry.change("stop_canary", 7, 3, 4, "").ok
    answer = registry.change("begin_retire", OTHER, MINUTE_MS, "r", "me", MINUTE_MS)
    assert answer.word == "too_fresh"
    assert 0 < int(answer.details[0]) <= MINUTE_MS
    assert registry.change("begin_retire", OTHER, 0, "r", "me", MINUTE_MS).ok


def test_pointing_to_a_release_again_starts_its_grace_anew(
    registry: Registry, settings: Settings
) -> None:
    """The time since when nobody points to a release goes when somebody does, and counts from the end of that."""
    two_live(registry)
    verified(registry, OTHER)
    time.sleep(0.06)
    assert registry.change("start_canary", 5, 2, 3, OTHER, 0.1).ok
    assert b"unreferenced_since_ms" not in store.fields(settings)[f"release:{OTHER}".encode()]
    assert registry.change("stop_canary", 7, 3, 4, "").ok
    answer = registry.change("begin_retire", OTHER, MINUTE_MS, "r", "me", MINUTE_MS)
    assert int(answer.details[0]) > MINUTE_MS - 50


def test_one_command_removes_a_release(registry: Registry, settings: Settings) -> None:
    """While one removes, nobody else may remove or load it; when it died, anybody may; only the holder finishes."""
    verified(registry, OLD)
    assert registry.change("begin_retire", OLD, 0, "first", "me", MINUTE_MS).ok
    assert registry.change("begin_retire", OLD, 0, "second", "me", MINUTE_MS).word == "busy"
    assert begin(registry, OLD, "publisher").details[:2] == (OLD, "retiring")
    assert begin(registry, NEW, "publisher") == Answer("ok")
    assert registry.change("finish_retire", OLD, "second").word == "overtaken"
    store.end_leases(settings)
    assert registry.change("begin_retire", OLD, 0, "second", "me", MINUTE_MS).ok
    assert registry.change("finish_retire", OLD, "first").word == "overtaken"
    assert registry.change("finish_retire", OLD, "second").ok
    assert OLD not in registry.read().releases


def test_a_load_is_not_removed_under_its_publisher(registry: Registry) -> None:
    """Retiring a release that is being loaded is refused while the lease runs."""
    assert begin(registry, OLD).ok
    assert registry.change("begin_retire", OLD, 0, "r", "me", MINUTE_MS).word == "busy"


def test_restoring_sets_what_the_journal_says(registry: Registry) -> None:
    """Live and previous at once, the canary gone, under the generation that was asked for."""
    verified(registry, OLD)
    verified(registry, NEW)
    assert registry.change("restore", 9, 0, 7, NEW, OLD) == Answer("ok", ("7",))
    pointer = registry.read().pointer
    assert pointer is not None
    assert (pointer.live, pointer.previous, pointer.canary) == (NEW, OLD, None)
    assert activate(registry, 11, 7, OLD).word == "older"


def test_a_full_redis_still_rolls_back_and_retires(registry: Registry, settings: Settings) -> None:
    """At maxmemory only beginning a load is refused."""
    two_live(registry)
    verified(registry, OTHER)
    store.configure(settings, "maxmemory", 1)
    with pytest.raises(Exception, match="maxmemory"):
        begin(registry, "2026-01-04-00000004")
    assert registry.change("rollback", 5, 2, 3, OLD, WHY).ok
    assert registry.change("begin_retire", OTHER, 0, "r", "me", MINUTE_MS).ok
    assert registry.change("finish_retire", OTHER, "r").ok


def test_old_intents_are_forgotten(registry: Registry, settings: Settings) -> None:
    """The catalog keeps the last thousand entries' worth, not all."""
    verified(registry, OLD)
    verified(registry, NEW)
    assert activate(registry, 1, 0, OLD).ok
    assert activate(registry, 2, 1, NEW).ok
    assert activate(registry, 1002, 2, OLD, force=1).ok
    kept = {name for name in store.fields(settings) if name.startswith(b"intent:")}
    assert kept == {b"intent:1002"}
    assert activate(registry, 1003, 3, NEW).ok


def test_an_unknown_transition_is_an_error(registry: Registry) -> None:
    """A misspelt transition is a defect, not a refusal."""
    with pytest.raises(Exception, match="unknown transition"):
        registry.change("activat")
