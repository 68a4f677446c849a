"""Redis as it is deployed: who gets in, what they may do, how passwords are exchanged."""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from redis.exceptions import AuthenticationError, ResponseError

from jobs.operations import check_store
from jobs.pipeline import activate, publish, retire
from jobs.runtime import settings as jobs_settings
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import TryLater
from jobs.store.cluster import connected
from schemas.environment import Node
from tests.deploy.closed_redis import ROOT, ClosedRedis, closed_redis
from tests.harness.releases import write_release
from tests.serving.conftest import Replica, ending, start_replica


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClosedRedis]:
    """One closed cluster for all tests of this file."""
    with closed_redis(tmp_path_factory.mktemp("closed")) as running:
        yield running


@pytest.fixture(scope="module")
def loader(closed: ClosedRedis, tmp_path_factory: pytest.TempPathFactory) -> jobs_settings.Settings:
    """The jobs' settings as the loader, from variables."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    environment = {**closed.variables("loader"), "NIGHTSHELF_ARTIFACTS": str(artifacts)}
    return replace(jobs_settings.from_environment(environment), retire_grace_s=0)


@pytest.fixture
def replica(closed: ClosedRedis) -> Iterator[Replica]:
    """An edge replica as the user `edge`."""
    with ending(start_replica(closed.nodes, **closed.variables("edge"))) as running:
        yield running


def _client(closed: ClosedRedis, user: str | None, node: Node | None = None) -> "redis.Redis":
    node = node or closed.nodes[0]
    return redis.Redis(
        host=node.host,
        port=node.port,
        username=user,
        password=closed.password(user) if user else None,
        ssl=True,
        ssl_ca_certs=str(closed.secrets / "redis_ca"),
    )


def _answer(replica: Replica) -> tuple[str, str, list[int]]:
    """Return release, source and books of a list; a busy machine may miss the deadline of a look-up."""
    found = json.loads(replica.get("/v1/users/3/recommendations").body)
    return found.get("release"), found.get("source"), [i["book_id"] for i in found.get("items", [])]


def _go_live(loader: jobs_settings.Settings, partition: str) -> str:
    folder = write_release(loader.artifacts, partition)
    publish.run(folder, loader)
    activate.run(Artifacts(loader.artifacts), folder.release, loader)
    return folder.release


def test_the_loader_loads_and_the_edge_reads_over_tls(
    loader: jobs_settings.Settings, replica: Replica
) -> None:
    """Publish, activate and retire have every right they need, and so has a replica that answers from it."""
    release = _go_live(loader, "2026-01-01")
    retire.run(loader)
    replica.wait_for(lambda edge: _answer(edge)[:2] == (release, "als"))
    assert _answer(replica)[2][:2] == [4, 5]
    assert replica.get("/v1/books/4").status == 200
    assert replica.get("/v1/books/4/similar").status == 200


def test_one_primary_forms_a_cluster(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """The loader publishes to it, and may ask all that `check-store` asks."""
    with closed_redis(tmp_path_factory.mktemp("lone"), primaries=1) as lone:
        environment = {**lone.variables("loader"), "NIGHTSHELF_ARTIFACTS": str(tmp_path)}
        settings = jobs_settings.from_environment(environment)
        publish.run(write_release(tmp_path, "2026-01-01"), settings)
        found = check_store.run(Artifacts(tmp_path), settings)
        assert [primary.policy for primary in found.primaries] == ["noeviction"]
        assert found.sound


def test_nobody_gets_in_without_a_name_or_without_tls(closed: ClosedRedis) -> None:
    """The default user is off, and a node's port speaks nothing but TLS."""
    with _client(closed, None) as client, pytest.raises(AuthenticationError):
        client.ping()
    plain = redis.Redis(host=closed.nodes[0].host, port=closed.nodes[0].port)
    with plain as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_an_unknown_authority_is_refused(closed: ClosedRedis, tmp_path: Path) -> None:
    """Without the authority's certificate the jobs do not talk to a node."""
    variables = {**closed.variables("loader"), "NIGHTSHELF_REDIS_CA": ""}
    settings = jobs_settings.from_environment({**variables, "NIGHTSHELF_ARTIFACTS": str(tmp_path)})
    with pytest.raises(TryLater, match=r"(?i)certificate"), connected(settings):
        pass


@pytest.mark.parametrize(
    "command",
    [
        ["SET", "shelf:x", "1"],
        ["HSET", "shelf:catalog", "live", "x"],
        ["DEL", "shelf:catalog"],
        ["GET", "other:x"],
        ["HGETALL", "other:catalog"],
        ["EVAL", "return 1", "0"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["FLUSHALL"],
        ["CONFIG", "GET", "masterauth"],
        ["ACL", "LIST"],
        ["CLUSTER", "RESET"],
        ["SHUTDOWN"],
        ["PUBLISH", "channel", "x"],
    ],
)
def test_the_edge_reads_its_own_namespace_and_does_nothing_else(
    closed: ClosedRedis, command: list[str]
) -> None:
    """Every write, every other namespace, every look around is refused."""
    with (
        _client(closed, "edge") as client,
        pytest.raises(ResponseError, match=r"permission|not allowed"),
    ):
        client.execute_command(*command)


@pytest.mark.parametrize(
    "command",
    [["SET", "other:x", "1"], ["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "SET", "maxmemory", "1"],
     ["ACL", "WHOAMI"], ["SHUTDOWN"], ["DEBUG", "SLEEP", "1"]],
)  # fmt: skip
def test_the_loader_cannot_leave_its_namespace_or_harm_a_node(
    closed: ClosedRedis, command: list[str]
) -> None:
    """It writes its own keys; it neither empties nor configures a node."""
    with (
        _client(closed, "loader") as client,
        pytest.raises(ResponseError, match=r"permission|not allowed"),
    ):
        client.execute_command(*command)


@pytest.mark.parametrize("command", [["FLUSHALL"], ["DEBUG", "SLEEP", "0"], ["KEYS", "*"]])
def test_what_empties_or_freezes_a_node_is_off_for_the_administrator_too(
    closed: ClosedRedis, command: list[str]
) -> None:
    """One slip of an administrator does not take the lists away."""
    with (
        _client(closed, "admin") as client,
        pytest.raises(ResponseError, match=r"permission|not allowed"),
    ):
        client.execute_command(*command)


def test_memory_that_is_full_refuses_and_forgets_nothing(closed: ClosedRedis) -> None:
    """Every node has a limit and no eviction."""
    for node in closed.nodes:
        with _client(closed, "monitor", node) as client:
            found = client.config_get("maxmemory*")
        assert found["maxmemory"] == str(256 * 1024 * 1024)
        assert found["maxmemory-policy"] == "noeviction"


def test_a_password_is_exchanged_while_the_edge_answers(
    closed: ClosedRedis, loader: jobs_settings.Settings, replica: Replica
) -> None:
    """Old and new are valid together, a running replica keeps its connections, then the old one is gone."""
    release = _go_live(loader, "2026-01-02")
    replica.wait_for(lambda edge: _answer(edge)[:2] == (release, "als"))
    file = closed.secrets / "redis_edge_password"
    old, new = closed.password("edge"), secrets.token_hex(16)
    connected_before = _connections(closed)
    file.write_text(f"{old}\n{new}\n")
    closed.apply_users()
    assert connected_before
    assert connected_before <= _connections(closed)
    for password in (old, new):
        assert _gets_in(closed, password)
    file.write_text(f"{new}\n{old}\n")
    with ending(start_replica(closed.nodes, **closed.variables("edge"))) as fresh:
        file.write_text(f"{new}\n")
        closed.apply_users()
        fresh.wait_for(lambda edge: _answer(edge)[:2] == (release, "als"))
    assert _gets_in(closed, new)
    assert not _gets_in(closed, old)


def _connections(closed: ClosedRedis) -> set[tuple[int, str]]:
    """Return port and id of the connections that the edge has to any node: which it needs, the slots decide."""
    found: set[tuple[int, str]] = set()
    for node in closed.nodes:
        with _client(closed, "monitor", node) as client:
            open_now = client.client_list()
        found |= {(node.port, one["id"]) for one in open_now if one["user"] == "edge"}
    return found


def _gets_in(closed: ClosedRedis, password: str) -> bool:
    client = _client(closed, "edge")
    client.connection_pool.connection_kwargs["password"] = password
    with client:
        try:
            return bool(client.ping())
        except AuthenticationError:
            return False


def test_users_of_a_managed_service_suffice(
    closed: ClosedRedis, loader: jobs_settings.Settings
) -> None:
    """With the access strings of deploy/containers/guides.md a release is published, activated, retired and served."""
    guide = (ROOT / "deploy/containers/guides.md").read_text(encoding="utf-8")
    strings = dict(re.findall(r"^\| `(edge|loader)` \| `(on [^`]+)` \|$", guide, re.MULTILINE))
    files = {}
    for user, words in strings.items():
        files[user] = closed.secrets / f"redis_managed_{user}_password"
        files[user].write_text(secrets.token_hex(16))
        for node in closed.nodes:
            with _client(closed, "admin", node) as client:
                rules = [*words.split(), f">{files[user].read_text()}"]
                client.execute_command("ACL", "SETUSER", f"managed_{user}", "reset", *rules)
    variables = {
        user: {
            **closed.variables(user),
            "NIGHTSHELF_REDIS_USER": f"managed_{user}",
            "NIGHTSHELF_REDIS_PASSWORD_FILE": str(file),
        }
        for user, file in files.items()
    }
    artifacts = {"NIGHTSHELF_ARTIFACTS": str(loader.artifacts)}
    managed = jobs_settings.from_environment({**variables["loader"], **artifacts})
    release = _go_live(replace(managed, retire_grace_s=0), "2026-01-03")
    retire.run(managed)
    with ending(start_replica(closed.nodes, **variables["edge"])) as replica:
        replica.wait_for(lambda edge: _answer(edge)[:2] == (release, "als"))
        assert replica.get("/v1/books/4/similar").status == 200
