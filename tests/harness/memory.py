"""What a process holds in memory."""

import re
from pathlib import Path


def resident_kib(pid: int) -> int:
    """Return the resident memory of a running process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])
