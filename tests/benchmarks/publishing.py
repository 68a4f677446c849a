"""Publishes a release again and again, so that what is measured meanwhile has a publish going on.

In: the artifacts folder, a release in it, addresses of Redis. Out: a line for each publish that is through; it goes on
until it is ended. Not part of the product.
"""

import sys
from dataclasses import replace

from jobs.pipeline import publish, retire
from jobs.runtime import settings as runtime_settings
from jobs.runtime.artifacts import Artifacts


def main() -> None:
    """Publish and retire by turns, for settings of the environment."""
    settings = replace(runtime_settings.from_environment(), retire_grace_s=0, keep_releases=0)
    folder = Artifacts(settings.artifacts).release(sys.argv[1])
    while True:
        outcome = publish.run(folder, settings)
        assert not outcome.already_loaded
        print(outcome.release, flush=True)
        retire.run(settings)


if __name__ == "__main__":
    main()
