"""Redis's troubles told so that a person can act."""

import pytest
from redis import exceptions

from jobs.runtime.errors import NightshelfError, TryLater, WrongUsage
from jobs.runtime.settings import Settings
from jobs.store.cluster import connected
from schemas.environment import Node
from tests.harness import store as outside


def test_no_cluster_at_the_address() -> None:
    """The address and the variable stand in the message."""
    settings = Settings(redis=(Node("127.0.0.1", 1),))
    with (
        pytest.raises(
            TryLater, match=r"cannot be reached[\s\S]*127\.0\.0\.1:1[\s\S]*NIGHTSHELF_REDIS"
        ),
        connected(settings),
    ):
        pass


def test_a_wrong_password(settings: Settings) -> None:
    """A user that Redis does not know is wrong usage: a retry gives the same answer."""
    wrong = Settings(redis=settings.redis, redis_user="nobody", redis_password="wrong")  # noqa: S106  # no secret
    with pytest.raises(WrongUsage, match="refuses this user"), connected(wrong):
        pass


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (exceptions.OutOfMemoryError("maxmemory"), TryLater, "out of memory"),
        (exceptions.ReadOnlyError("READONLY"), TryLater, "read-only"),
        (exceptions.ClusterDownError("CLUSTERDOWN"), TryLater, "not whole"),
        (exceptions.SlotNotCoveredError("slot 1"), TryLater, "not whole"),
        (exceptions.TimeoutError("slow"), TryLater, "cannot be reached"),
        (exceptions.ResponseError("MISCONF errors writing"), TryLater, "takes no writes"),
        (exceptions.ResponseError("NOREPLICAS not enough"), TryLater, "takes no writes"),
        (exceptions.NoPermissionError("NOPERM"), WrongUsage, "refuses this user"),
    ],
)
def test_each_trouble_has_its_exit_code(
    settings: Settings, error: Exception, expected: type[NightshelfError], text: str
) -> None:
    """What a retry may mend is TryLater, what it cannot is WrongUsage."""
    with pytest.raises(expected, match=text), connected(settings):
        raise error


def test_an_error_in_a_pipeline_is_told_in_one_line(settings: Settings) -> None:
    """The values of the command, some of them no text, are left out."""
    value = bytes(range(256)) * 100
    outside.configure(settings, "maxmemory", 1)
    with pytest.raises(TryLater) as caught, connected(settings) as cluster:
        cluster.pipeline().set("key", value).execute()
    assert caught.value.what.startswith("Redis is out of memory")
    assert len(caught.value.what) < 300
    assert caught.value.what.isascii()


def test_other_errors_stay_what_they_are(settings: Settings) -> None:
    """A defect keeps its traceback."""
    with connected(settings) as cluster:
        cluster.set("key", "text")
        with pytest.raises(exceptions.ResponseError, match="WRONGTYPE"):
            cluster.hget("key", "field")
