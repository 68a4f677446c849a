"""What a refused change of the pointer means to the person who asked for it.

In: the release registry's answer. Out: an error with its exit code. Guarantees one meaning per answer.
"""

from jobs.runtime.errors import GateRefused, NightshelfError, NothingToDo, TryLater, WrongUsage
from jobs.store.registry import Answer, Content


def problem(answer: Answer, release: str, before: Content) -> NightshelfError:
    """Return what Redis's refusal of a change means to the person who asked for it."""
    detail = answer.details[0] if answer.details else ""
    where = f"release {release}"
    overtaken = TryLater(
        f"another command was quicker: the generation was {before.generation} when this one began",
        where,
        "look at `nightshelf releases`, then run the step again",
    )
    problems: dict[str, NightshelfError] = {
        "unverified": unfit(f"this release was never verified (it is {detail})", release, before),
        "quarantined": unfit("the lists of this release are quarantined", release, before),
        "older": older(release, detail),
        "generation": overtaken,
        "closed": overtaken,
        "no_live": overtaken,
        "no_canary": overtaken,
        "already": WrongUsage(f"{release} is live already", where, "name another release"),
        "same_lists": WrongUsage(
            "the live release and this one have the very same lists: barring them would bar both",
            where,
            "name another release",
        ),
    }
    return problems[answer.word]


def unfit(why: str, release: str, before: Content) -> GateRefused:
    """Return the refusal of a release that cannot be pointed to."""
    loaded = ", ".join(before.verified) or "none"
    do = (
        "train a new release"
        if "quarantined" in why
        else f"run `nightshelf publish --release {release}` first; verified are: {loaded}"
    )
    return GateRefused(why, f"release {release}", do)


def older(release: str, live: str) -> NothingToDo:
    """Return the refusal of a release whose partition lies before the live one's."""
    return NothingToDo(
        f"not newer than the live release {live}",
        f"release {release}",
        "nothing; give --force to go back in time",
    )
