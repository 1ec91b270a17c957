"""The coverage floor: each of the packages that must not rot has at least 95 % of its branches run by the tests.

Silent when it holds, so that pytest's closing line stays the last of `make test`. `python -m tests.support.coverage_floor`
reads the data file that `coverage run` left.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FLOOR = 95.0
PACKAGES = ("keys", "policies", "audit", "gateway/drop")


def below_floor(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> list[str]:
    """A sentence for each package under the floor, or without any measured file; `report` is coverage's JSON report."""
    sentences = []
    for package in PACKAGES:
        summaries = [entry["summary"] for name, entry in report["files"].items() if Path(name).as_posix().startswith(package + "/")]
        if not summaries:
            sentences.append(f"{package}: nothing was measured")
        for kind, done in (("branches", "covered_branches"), ("statements", "covered_lines")):
            total = sum(summary[f"num_{kind}"] for summary in summaries)
            percent = 100 * sum(summary[done] for summary in summaries) / total if total else 100.0
            if percent < FLOOR:
                sentences.append(f"{package}: {percent:.1f} % of its {kind} were run, the floor is {FLOOR:.0f} %")
    return sentences


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(target)], check=True)
        sentences = below_floor(json.loads(target.read_text()))
    for sentence in sentences:
        print(f"coverage: {sentence} (make coverage shows where)", file=sys.stderr)
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
