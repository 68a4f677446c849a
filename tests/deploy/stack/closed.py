"""What it means that running containers are closed, and what of them a network reaches."""

import json
import subprocess
from typing import Any

from tests.deploy.stack.daemon import PYTHON_IMAGE, docker

# In: addresses and ports as JSON. Out: the ports that take a connection, as JSON by address.
_SCAN = """
import asyncio, json, sys
async def taken(address, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 3)
    except (OSError, asyncio.TimeoutError):
        return None
    writer.close()
    return port
async def main():
    addresses, ports = json.loads(sys.argv[1])
    tried = await asyncio.gather(*(asyncio.gather(*(taken(a, p) for p in ports)) for a in addresses))
    print(json.dumps({a: [p for p in found if p] for a, found in zip(addresses, tried)}))
asyncio.run(main())
"""


def assert_closed(container: dict[str, Any]) -> None:
    """Fail if its first process is root, has a capability or may get one, or if its root can be written."""
    status = docker("exec", container["Id"], "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split(), container["Name"]
    assert int(fields["CapEff"], 16) == 0, container["Name"]
    assert fields["NoNewPrivs"] == "1", container["Name"]
    for folder in ("/", "/usr", "/etc"):
        made = subprocess.run(
            ["docker", "exec", "--user", "0", container["Id"], "touch", f"{folder}/planted"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert made.returncode != 0, container["Name"]
        assert "Read-only file system" in made.stderr


def service_of(container: dict[str, Any]) -> str:
    """Return the service that a container is of."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def _listening(container: str) -> set[int]:
    """Return every port that a process of the container listens on, loopback too, as its kernel lists them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in docker("exec", container, "cat", f"/proc/net/{table}").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A":
                found.add(int(local.rpartition(":")[2], 16))
    return found


def reached(network: str, inspected: list[dict[str, Any]]) -> dict[str, set[int]]:
    """Return what a container in a network reaches: each port that anybody has, at each address of all networks."""
    ports = sorted(set().union(*(_listening(container["Id"]) for container in inspected)))
    assert {6379, 5432, 8443} <= set(ports)
    services = {
        settings["IPAddress"]: service_of(container)
        for container in inspected
        for settings in container["NetworkSettings"]["Networks"].values()
    }
    shown = docker(
        "run", "--rm", "--network", network, "--user", "10001", PYTHON_IMAGE,
        "python3", "-c", _SCAN, json.dumps([list(services), ports]),
    )  # fmt: skip
    found: dict[str, set[int]] = {}
    for address, opened in json.loads(shown).items():
        if opened:
            found.setdefault(services[address], set()).update(opened)
    return found
