"""Where the tests of the DAGs find the checkout and the jobs."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: The environment with the jobs: never the one that runs these tests.
JOBS = Path(os.environ.get("NIGHTSHELF_JOBS_ENVIRONMENT", ROOT / ".venvs" / "dev"))
