"""What the journal adds up to, worked out by hand for short journals."""

from typing import Any

from jobs.release import history, journal

A, B, C = "2026-01-01-0000000a", "2026-01-02-0000000b", "2026-01-03-0000000c"


class Diary:
    """Entries as the commands write them."""

    def __init__(self) -> None:
        """Begin empty."""
        self.entries: list[dict[str, Any]] = []

    def intent(self, action: str, **content: Any) -> "Diary":
        """Add an intent; its generation is one more than the last tried."""
        generation = 1 + max((e.get("generation", 0) for e in self.entries), default=0)
        self.entries.append(
            {"seq": len(self.entries) + 1, "action": action, "generation": generation, **content}
        )
        return self

    def ended(self, result: str = "ok") -> "Diary":
        """Add the outcome of the last intent."""
        of = max(e["seq"] for e in self.entries if e["action"] in journal.INTENTS)
        self.entries.append(
            {"seq": len(self.entries) + 1, "action": "outcome", "of": of, "result": result}
        )
        return self

    def activated(self, release: str, digest: str = "") -> "Diary":
        """Add a whole activation."""
        return self.intent("activate", to=release, digest=digest or release).ended()

    def rolled_back(self, left: str, to: str) -> "Diary":
        """Add the intent of a rollback."""
        return self.intent("rollback", to=to, digest=to, quarantined=left)


def fold(diary: Diary) -> history.History:
    """Return the sum."""
    return history.fold(diary.entries)


def test_an_empty_journal() -> None:
    """Nothing is live and nothing is barred."""
    assert fold(Diary()) == history.History()


def test_the_second_activation_makes_the_first_the_previous() -> None:
    """Live, previous, generation and activations after two activations."""
    found = fold(Diary().activated(A).activated(B))
    assert (found.live, found.previous, found.generation, found.settled_generation) == (B, A, 2, 2)
    assert found.activations == {A: A, B: B}


def test_a_refused_change_counts_for_nothing_but_its_generation() -> None:
    """What Redis refused is not live; its generation is not used again."""
    found = fold(Diary().activated(A).intent("activate", to=B, digest=B).ended("older A"))
    assert (found.live, found.generation, found.settled_generation) == (A, 2, 1)
    assert found.activations == {A: A}


def test_an_open_intent_counts_as_done_and_is_named() -> None:
    """If Redis is lost now, the change may have been seen: it is kept, but is no activation to compare with."""
    found = fold(Diary().activated(A).intent("activate", to=B, digest=B))
    assert (found.live, found.previous, found.settled_generation) == (B, A, 1)
    assert [e["to"] for e in found.opened] == [B]
    assert found.activations == {A: A}


def test_a_rollback_bars_what_was_left_and_has_no_previous() -> None:
    """Also while it is open; not when it was refused."""
    diary = Diary().activated(A).activated(B).rolled_back(B, A)
    assert (fold(diary).live, fold(diary).previous, set(fold(diary).quarantine)) == (A, None, {B})
    assert fold(diary.ended()).quarantine.keys() == {B}
    refused = Diary().activated(A).activated(B).rolled_back(B, A).ended("generation 9")
    assert (fold(refused).live, fold(refused).quarantine) == (B, {})


def test_an_assumed_outcome_counts_even_if_a_refusal_comes_later() -> None:
    """The first outcome counts: the one who was given up writes down later that it was refused."""
    diary = (
        Diary().activated(A).activated(B).rolled_back(B, A).ended("assumed").ended("generation 9")
    )
    assert (fold(diary).live, set(fold(diary).quarantine)) == (A, {B})


def test_a_restore_sets_live_and_previous() -> None:
    """The previous release is the one named, not the one before."""
    diary = Diary().activated(A).activated(B)
    diary.intent("restore", to=B, previous=A, digest=B).ended()
    assert (fold(diary).live, fold(diary).previous, fold(diary).generation) == (B, A, 3)


def test_a_canary_changes_the_generation_only_until_it_is_promoted() -> None:
    """Starting and stopping leave live and previous; promoting is an activation."""
    diary = Diary().activated(A).intent("canary_start", to=B, digest=B).ended()
    assert (fold(diary).live, fold(diary).settled_generation) == (A, 2)
    promoted = diary.intent("canary_promote", to=B, digest=B).ended()
    assert (fold(promoted).live, fold(promoted).previous) == (B, A)


def test_served_lists_are_not_barred_by_an_intent_that_redis_never_answered() -> None:
    """A quarantine of the live lists that died before Redis could refuse it does not count."""
    diary = Diary().activated(A).intent("quarantine", release=B, quarantined=A)
    assert fold(diary).quarantine == {}
    assert fold(Diary().intent("quarantine", release=B, quarantined=B)).quarantine.keys() == {B}


def test_the_reference_is_the_newest_activated_release_of_an_earlier_day() -> None:
    """Strictly earlier; of one day the last activated; none where there is none."""
    again = "2026-01-01-000000aa"
    found = fold(Diary().activated(B).activated(A).activated(again))
    assert history.references_for(found, "2026-01-01") == []
    assert history.references_for(found, "2026-01-02")[0] == again
    assert history.references_for(found, "2026-01-03")[0] == B


def test_a_barred_release_is_no_reference() -> None:
    """After a rollback the day before is compared with; neither do open activations count."""
    diary = Diary().activated(A).activated(B).rolled_back(B, A).ended()
    assert history.references_for(fold(diary), C)[0] == A
    diary.intent("activate", to=C, digest=C)
    assert history.references_for(fold(diary), "2026-02-01")[0] == A
