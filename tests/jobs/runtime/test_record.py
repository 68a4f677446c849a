"""What a step's record says of its process."""

import subprocess
import sys

from jobs.runtime.record import peak_memory_bytes

_MIB = 1 << 20


def test_peak_memory_is_that_of_the_process_alone() -> None:
    """A small process that a large one started is small; it grows by what it takes."""
    ballast = bytearray(400 * _MIB)
    program = (
        "from jobs.runtime.record import peak_memory_bytes\n"
        "before = peak_memory_bytes()\n"
        f"taken = b'x' * {100 * _MIB}\n"
        "print(before, peak_memory_bytes())\n"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
    before, after = map(int, found.stdout.split())
    assert peak_memory_bytes() > len(ballast) > before
    assert after - before > 90 * _MIB
