"""What a command loads before it does anything."""

import os
import subprocess
import sys
from pathlib import Path

_ASK = """
import sys
from jobs.cli.main import main
try:
    main(["releases", "--reference-for", "2026-01-01"])
except SystemExit as ended:
    assert ended.code == 0
print([name for name in ("numpy", "pandas", "polars", "pyarrow", "redis") if name in sys.modules])
"""


def test_the_question_for_the_reference_is_cheap(tmp_path: Path) -> None:
    """`releases --reference-for`, which a waiting run repeats, loads neither tables nor a client of Redis."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        env={**os.environ, "NIGHTSHELF_ARTIFACTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ['{"missing": [], "reference": "none"}', "[]"]
