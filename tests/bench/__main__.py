"""`python -m tests.bench [name]`: run the benchmarks, print a table, write bench/results.json.

A name stands for itself and for all that begin with it: `sftp` runs `sftp_large`, `sftp_small` and so on.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
TARGET = HERE.parent.parent / "bench" / "results.json"


def names() -> list[str]:
    """What can be asked for with ONLY=."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run_here(name: str) -> None:
    """One module, in this process; its results as JSON on standard output."""
    results = importlib.import_module(f"tests.bench.bench_{name}").run()
    json.dump([result.as_document() for result in results], sys.stdout)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--here"]:
        run_here(arguments[1])
        return 0
    wanted = [name for name in names() if not arguments or any(name == one or name.startswith(f"{one}_") for one in arguments)]
    if unknown := {one for one in arguments if not any(name == one or name.startswith(f"{one}_") for name in names())}:
        print(f"There is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(names())}.", file=sys.stderr)
        return 2
    results: list[dict[str, str | float | int]] = []
    failed = []
    for name in wanted:
        print(f"{name} …", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, "-m", "tests.bench", "--here", name], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            results += json.loads(done.stdout)
        else:
            failed.append(name)
    show(results)
    keep(results, partial=bool(arguments or failed))
    if failed:
        print(f"did not end well: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def keep(results: list[dict[str, str | float | int]], *, partial: bool) -> None:
    """Write the results; when only some benchmarks ran, the other ones' earlier results stay."""
    if partial and TARGET.exists():
        new = {result["name"] for result in results}
        results = sorted(
            [old for old in json.loads(TARGET.read_text()) if old["name"] not in new] + results, key=lambda result: str(result["name"])
        )
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(results, indent=1) + "\n")


def show(results: list[dict[str, str | float | int]]) -> None:
    table = Table(title="medians; a ratio above 1 means better than the peer")
    for column in ("name", "value", "unit", "peer", "peer value", "ratio", "peak RSS [MiB]", "runs"):
        table.add_column(column, justify="left" if column in ("name", "unit", "peer") else "right")
    for result in results:
        table.add_row(*(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in result.values()))
    Console(width=140 if not sys.stdout.isatty() else None).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
