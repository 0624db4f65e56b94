"""`make test`: the suite in its parts, each in a process of its own, and one line that sums them up."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

PYTEST = [sys.executable, "-m", "pytest"]
GEVENT = [sys.executable, "-m", "gevent.monkey", "--module", "pytest"]
PARTS = {
    "on threads": [*PYTEST, "--ignore=tests/live", "--ignore=tests/browser"],
    "on gevent": [*GEVENT, "tests/conformance", "tests/engine"],
    "live": [*PYTEST, "tests/live", "tests/browser"],
}


def main() -> int:
    """Runs every part, whatever became of the one before; 1 when any failed. Arguments go to each pytest."""
    started, passed, failed, skipped, broken = time.monotonic(), 0, 0, 0, []
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        for name, command in PARTS.items():
            print(f"\n# {name}", flush=True)
            report.unlink(missing_ok=True)
            code = subprocess.run([*command, f"--junitxml={report}", *sys.argv[1:]], check=False).returncode
            if code != 0:
                broken.append(name)
            if report.exists():
                for suite in ET.parse(report).getroot().iter("testsuite"):
                    tests, missed = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
                    wrong = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                    passed, failed, skipped = (
                        passed + tests - wrong - missed,
                        failed + wrong,
                        skipped + missed,
                    )
    if broken:
        print(f"\nfailed: {', '.join(broken)}", flush=True)
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped in {time.monotonic() - started:.0f}s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
