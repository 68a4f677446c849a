"""What the images hold and what is known against it: `python -m deploy.audit FOLDER LOCK...`, or `... --list-only`.

In: names of locks below deploy/requirements; PyPI's service of known holes, or OSV's (`--service osv`, `--osv-url`).
Out: in FOLDER a list as CycloneDX for each lock, made without a network, and what was found on standard output.
Guarantees exit code 0 only where every package of every lock was asked for and nothing is known against it; 1 where
something is known; 2 where a package could not be asked for, since no answer is not a good one.
"""

import argparse
import json
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

LOCKS = Path(__file__).with_name("requirements")
#: How many packages an error names.
_NAMED = 5


class AuditProblem(RuntimeError):
    """A list cannot be made, or nothing is known about what it names; the message says what to do."""


@dataclass(frozen=True)
class Findings:
    """What the service said of one lock: how many it knows, their holes in words, the names it was silent on."""

    asked: int
    holes: tuple[str, ...]
    unknown: tuple[str, ...]


def list_packages(lock: str, folder: Path) -> Path:
    """Write what a lock lists, with hashes, as CycloneDX 1.6; return the file. Raises AuditProblem."""
    target = folder / f"{lock}.json"
    arguments = ["requirements", str(_file(lock)), "--output-reproducible", "--no-validate"]
    # In this process: of 1.3 s for a process of its own 1.2 s are imports.
    with patch.object(sys, "argv", ["cyclonedx-py", *arguments, "--of", "JSON", "-o", str(target)]):
        try:
            runpy.run_module("cyclonedx_py", run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise AuditProblem(f"cyclonedx-py ended with {end.code} for {lock}") from end
    return target


def ask(lock: str, options: Sequence[str]) -> Findings:
    """Ask the service of known holes about a lock. Raises AuditProblem when it cannot be reached."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            str(Path(sys.executable).with_name("pip-audit")), "--progress-spinner", "off", "--disable-pip",
            "--require-hashes", "--requirement", str(_file(lock)), "--format", "json",
            "--output", str(report), *options,
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if not report.exists() or not (text := report.read_text(encoding="utf-8")).strip():
            said = ended.stderr.strip().splitlines() or ["nothing"]
            raise AuditProblem(
                f"no answer about {lock}: {said[-1]}\n"
                "  do: run this where the service of known holes can be reached; the lists are made all the same"
            )
    return findings(json.loads(text))


def findings(report: dict[str, Any]) -> Findings:
    """Return what a report of pip-audit says; a package that was skipped is unknown, never clean."""
    packages = report["dependencies"]
    return Findings(
        asked=sum("skip_reason" not in package for package in packages),
        holes=tuple(
            f"{package['name']} {package['version']}: {hole['id']}, mended in "
            f"{', '.join(hole['fix_versions']) or 'no version'}"
            for package in packages
            for hole in package.get("vulns", [])
        ),
        unknown=tuple(package["name"] for package in packages if "skip_reason" in package),
    )


def _file(lock: str) -> Path:
    file = LOCKS / f"{lock}.txt"
    if not file.exists():
        raise AuditProblem(f"no lock {file}")
    return file


def _audit(locks: Sequence[str], options: Sequence[str]) -> int:
    code = 0
    for lock in locks:
        found = ask(lock, options)
        print(f"{lock}: {found.asked} packages asked for, {len(found.holes)} known holes")
        for hole in found.holes:
            print(f"  {hole}")
        if found.unknown:
            named = ", ".join(found.unknown[:_NAMED]) + ", ..." * (len(found.unknown) > _NAMED)
            print(
                f"error: {lock}: the service does not answer for {len(found.unknown)} packages: {named}\n"
                "  do: run this where PyPI itself is reached (not a mirror without its list of holes), "
                "or use --service osv",
                file=sys.stderr,
            )
            code = 2
        elif found.holes:
            code = max(code, 1)
    return code


def main(arguments: Sequence[str] | None = None) -> None:
    """List every lock, then ask about every lock; a problem is printed without a traceback and exits with 2."""
    parser = argparse.ArgumentParser(prog="python -m deploy.audit", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("locks", nargs="+")
    parser.add_argument("--list-only", action="store_true")
    parser.add_argument("--service", choices=["pypi", "osv"], default="pypi")
    parser.add_argument("--osv-url", help="OSV's query address, or that of a mirror")
    given = parser.parse_args(arguments)
    options = ["--vulnerability-service", given.service]
    if given.osv_url:
        options += ["--osv-url", given.osv_url]
    try:
        given.folder.mkdir(parents=True, exist_ok=True)
        for lock in given.locks:
            print(f"list: {list_packages(lock, given.folder)}")
        sys.exit(0 if given.list_only else _audit(given.locks, options))
    except AuditProblem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
