"""Releases of which Redis has lost values: shown, filled again from files before the pointer moves, or refused."""

import shutil

import pytest

from tests.cases.shop import BY, Shop, flush, in_batches, one_by_one, told
from tests.serving.conftest import Replica

_ASKED_ALONE = range(1, 301)


def _all_served(replica: Replica, shop: Shop, release: str) -> None:
    """Wait until a release is served, and find every user's list personal."""
    replica.wait_for(lambda running: told(in_batches(running, [1])) == {(release, "als", None)})
    answers = in_batches(replica, range(1, shop.users + 1))
    assert told(answers) == {(release, "als", None)}


def test_a_flushed_primary_is_shown(shop: Shop) -> None:
    """`releases` shows for each loaded release how many keys are missing, and that all were there before."""
    assert _missing_keys(shop) == dict.fromkeys(shop.days, 0)
    flush(shop.others()[0])
    missing = _missing_keys(shop)
    assert sorted(missing) == sorted(shop.days)
    assert all(count > 0 for count in missing.values())


def _missing_keys(shop: Shop) -> dict[str, int]:
    missing = shop.done("releases").outcome["missing"]
    return {release: lost["keys"] for release, lost in missing.items()}


def test_publish_fills_what_a_flush_took(shop: Shop) -> None:
    """A second publish of a release that lacks values loads them, says so, and an audit finds them all."""
    flush(shop.others()[0])
    filled = shop.done("publish", "--release", shop.days[1])
    assert filled.outcome["repaired_values"] > 0
    assert str(filled.outcome["repaired_values"]) in filled.text
    audit = shop.done("audit", "--release", shop.days[1], "--all").outcome
    assert (audit["differing"], audit["users"]) == (0, [])
    assert _missing_keys(shop)[shop.days[1]] == 0


def test_no_user_falls_back_after_a_rollback(shop: Shop, replica: Replica) -> None:
    """Each of the primaries flushed in turn, then back to the oldest loaded release."""
    for place, node in enumerate(shop.others()):
        flush(node)
        shop.done("rollback", "--to", shop.days[1 - place], *BY)
        _all_served(replica, shop, shop.days[1 - place])


def test_no_user_falls_back_after_an_activation(shop: Shop, replica: Replica) -> None:
    """The new release was loaded before a primary was flushed."""
    new = shop.write("2026-01-05", 5)
    shop.done("publish", "--release", new)
    flush(shop.others()[0])
    shop.done("activate", "--release", new)
    _all_served(replica, shop, new)


def test_no_user_falls_back_after_a_canary(shop: Shop, replica: Replica) -> None:
    """Neither when it starts nor when it is promoted, each after a flush."""
    canary = shop.write("2026-01-05", 5)
    shop.done("publish", "--release", canary)
    flush(shop.others()[0])
    shop.done("canary", "start", "--release", canary, "--share", "1", *BY)
    replica.wait_for(lambda running: told(one_by_one(running, [1])) == {(canary, "als", None)})
    assert told(one_by_one(replica, _ASKED_ALONE)) == {(canary, "als", None)}
    flush(shop.others()[1])
    shop.done("canary", "promote", *BY)
    _all_served(replica, shop, canary)


@pytest.mark.parametrize("command", ["rollback", "canary"])
def test_a_pointer_does_not_move_to_what_cannot_be_filled(
    shop: Shop, replica: Replica, command: str
) -> None:
    """Where the files are gone the command is refused and names what is missing; `--incomplete-ok` moves anyway."""
    target = shop.days[0]
    folder = shop.artifacts / "releases" / target
    if command == "rollback":
        shutil.rmtree(folder)
    else:
        (folder / "lists.parquet").unlink()
    flush(shop.others()[0])
    arguments = {
        "rollback": ("rollback", "--to", target, *BY),
        "canary": ("canary", "start", "--release", target, "--share", "1", *BY),
    }[command]
    said = shop.command(*arguments)
    assert said.exit_code == 4, said
    assert target in said.text, said.text
    assert "--incomplete-ok" in said.text, said.text
    assert shop.live() == shop.days[3]
    moved = shop.done(*arguments, "--incomplete-ok")
    replica.wait_for(lambda running: {one[0] for one in told(one_by_one(running, [1]))} == {target})
    answers = one_by_one(replica, range(1, shop.users + 1))
    fallbacks = sum(answer["source"] != "als" for answer in answers)
    assert 0 < fallbacks < shop.users
    assert str(fallbacks) in moved.text, moved.text
