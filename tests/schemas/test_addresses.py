"""Addresses of Redis as people write them, read by the jobs and the edge alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.runtime import settings as jobs_settings
from jobs.runtime.errors import WrongUsage
from schemas.environment import EnvironmentProblem, Node, node_list
from serving import settings as edge_settings

READERS: list[Callable[..., Any]] = [
    jobs_settings.from_environment,
    edge_settings.from_environment,
]
SECRET = "s3cr3t"  # noqa: S105  # no secret


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "nodes", "user", "password", "tls"),
    [
        ("a:1, b:2", (Node("a", 1), Node("b", 2)), None, None, False),
        ("[::1]:7001", (Node("::1", 7001),), None, None, False),
        ("::1:7001", (Node("::1", 7001),), None, None, False),
        ("redis://a", (Node("a", 6379),), None, None, False),
        ("redis://a:1/0,redis://b:2/", (Node("a", 1), Node("b", 2)), None, None, False),
        ("rediss://[fd00::7]:7001", (Node("fd00::7", 7001),), None, None, True),
        ("rediss://edge:p%40%2Css@a:1,b:2", (Node("a", 1), Node("b", 2)), "edge", "p@,ss", True),
        ("redis://:s3cr3t@a:1", (Node("a", 1),), None, SECRET, False),
        ("edge:s3cr3t@a:1,edge:s3cr3t@b:2", (Node("a", 1), Node("b", 2)), "edge", SECRET, False),
        ("REDISS://edge:p@ss@a:1", (Node("a", 1),), "edge", "p@ss", True),
    ],
)
def test_forms_of_an_address(  # noqa: PLR0917  # an address and what it says
    read: Callable[..., Any],
    text: str,
    nodes: tuple[Node, ...],
    user: str | None,
    password: str | None,
    tls: bool,
) -> None:
    """Scheme, credentials (percent-encoded where needed), brackets and the default port of redis:// are understood."""
    found = read({"NIGHTSHELF_REDIS": text})
    assert (found.redis, found.redis_user, found.redis_password, found.redis_tls) == (
        nodes, user, password, tls,
    )  # fmt: skip


@pytest.mark.parametrize("read", READERS)
def test_an_address_and_a_variable_complete_each_other(
    read: Callable[..., Any], tmp_path: Path
) -> None:
    """The user may stand in the address and the password in a file; the address may itself come from a file."""
    (tmp_path / "password").write_text(f"{SECRET}\nolder\n")
    (tmp_path / "address").write_text(f"rediss://edge:{SECRET}@a:1\n")
    apart = {
        "NIGHTSHELF_REDIS": "rediss://edge@a:1",
        "NIGHTSHELF_REDIS_PASSWORD_FILE": str(tmp_path / "password"),
        "NIGHTSHELF_REDIS_TLS": "true",
    }
    assert read(apart) == read({"NIGHTSHELF_REDIS_FILE": str(tmp_path / "address")})


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"NIGHTSHELF_REDIS": f"redis://u:{SECRET}@a:x"}, "address 1 of 1 is not host:port"),
        ({"NIGHTSHELF_REDIS": f"redis://u:a,{SECRET}@a:1"}, "address 1 of 2 is not host:port"),
        ({"NIGHTSHELF_REDIS": f"redis://u:{SECRET}/@a:1/3"}, "address 1 of 1 is not host:port"),
        ({"NIGHTSHELF_REDIS": "redis+sentinel://a:1"}, "redis\\+sentinel://a:1' is not host:port"),
        ({"NIGHTSHELF_REDIS": "[::1]"}, "is not host:port"),
        ({"NIGHTSHELF_REDIS": "redis://::1"}, "is not host:port"),
        ({"NIGHTSHELF_REDIS": "a:0"}, "is not host:port"),
        ({"NIGHTSHELF_REDIS": f"x:{SECRET}@a:1,y:{SECRET}@b:1"}, "different things of user"),
        ({"NIGHTSHELF_REDIS": f"x:{SECRET}@a:1,x:other@b:1"}, "different things of password"),
        ({"NIGHTSHELF_REDIS": "redis://a:1,rediss://b:1"}, "different things of tls"),
        (
            {"NIGHTSHELF_REDIS": f"u:{SECRET}@a:1", "NIGHTSHELF_REDIS_PASSWORD": "other"},
            "NIGHTSHELF_REDIS_PASSWORD",
        ),
        (
            {"NIGHTSHELF_REDIS": "redis://a:1", "NIGHTSHELF_REDIS_TLS": "true"},
            "NIGHTSHELF_REDIS_TLS",
        ),
    ],
)
def test_what_is_wrong_is_said_without_the_password(
    read: Callable[..., Any], environment: dict[str, str], named: str
) -> None:
    """No form, or two that contradict each other: an error that shows no password."""
    with pytest.raises((EnvironmentProblem, WrongUsage), match=named) as caught:
        read(environment)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("read", READERS)
def test_what_is_printed_holds_no_password(read: Callable[..., Any]) -> None:
    """Neither the list of nodes nor the settings as text; IPv6 hosts keep their brackets."""
    found = read({"NIGHTSHELF_REDIS": f"rediss://edge:{SECRET}@[::1]:7001,a:1"})
    assert node_list(found.redis) == "[::1]:7001,a:1"
    assert SECRET not in repr(found)
