"""Two histories of one store: every command says so and changes nothing, and the way out works."""

import shutil

from tests.cases.shop import BY, Shop

WAY_OUT = "nightshelf reconcile"


def _refused_at_once(shop: Shop) -> None:
    """Every command that would rely on the journal says that it is not this store's, and what to do."""
    new = shop.write("2026-01-05", 4)
    for command in (
        ("restore",),
        ("rollback", *BY),
        ("activate", "--release", shop.days[0], "--force"),
        ("publish", "--release", new),
        ("canary", "start", "--release", shop.days[0], "--share", "0.5", *BY),
        ("canary", "promote", *BY),
        ("canary", "stop", *BY),
    ):
        said = shop.refused(*command)
        assert WAY_OUT in said.text, said.text
    assert WAY_OUT in shop.command("releases").text
    assert shop.live() == shop.days[3]


def _the_way_out_works(shop: Shop) -> None:
    """The dry run changes nothing; then the journal is Redis's, and a rollback does what it says."""
    registry, before = shop.registry(), shop.journal()
    shop.done("reconcile", "--dry-run")
    assert (shop.registry(), shop.journal()) == (registry, before)
    shop.done("reconcile")
    kept = {file.read_bytes() for file in shop.artifacts.rglob("*.json")}
    assert set(before.values()) <= kept
    assert shop.live() == shop.days[3]
    rolled = shop.done("rollback", *BY)
    assert rolled.outcome["release"] == shop.live() == shop.days[2]
    assert len(shop.quarantined()) == 1
    for _ in range(2):
        assert not shop.done("restore").outcome["restored"]
    assert not shop.done("releases").outcome["behind_journal"]


def test_a_journal_that_is_one_activation_old(shop: Shop) -> None:
    """It came back from a copy of before the last activation; Redis was not touched."""
    old = shop.copy_journal("old")
    last = shop.write("2026-01-05", 5)
    shop.done("publish", "--release", last)
    shop.days = [*shop.days[1:], last]
    shop.done("activate", "--release", last)
    shop.put_back(old)
    _refused_at_once(shop)
    _the_way_out_works(shop)


def test_a_journal_that_was_deleted(shop: Shop) -> None:
    """A forced activation is refused five times of five, not carried out in words alone."""
    shutil.rmtree(shop.artifacts / "journal")
    for _ in range(5):
        shop.refused("activate", "--force", "--release", shop.days[0])
    _refused_at_once(shop)
    _the_way_out_works(shop)


def test_a_journal_that_went_its_own_way(shop: Shop) -> None:
    """An old copy that has grown as long as Redis's by other entries is known by their content, not their number."""
    old = shop.copy_journal("old")
    shop.done("rollback", *BY)
    bad = shop.quarantined()
    ours = shop.copy_journal("ours")
    assert len(bad) == 1
    shop.put_back(old)
    for file in sorted(ours.iterdir())[-2:]:
        # The same numbers with another content, as a command would have written it.
        text = file.read_text("utf-8").replace('"x"', '"y"').replace("me", "you")
        (shop.artifacts / "journal" / file.name).write_text(text, encoding="utf-8")
    shop.command("restore")
    assert shop.live() == shop.days[2]
    assert shop.quarantined() == bad


def test_a_second_artifacts_folder_on_the_same_namespace(shop: Shop) -> None:
    """The store belongs to the first one's journal: nothing is loaded and nothing goes live from the second."""
    registry = shop.registry()
    shop.use("second")
    one = shop.write("2026-02-01", 7)
    for command in ("publish", "activate"):
        said = shop.refused(command, "--release", one)
        assert "journal" in said.text, said.text
    assert shop.registry() == registry
    shop.use("artifacts")
    assert not shop.done("restore").outcome["restored"]
    assert shop.done("rollback", *BY).outcome["release"] == shop.live() == shop.days[2]
