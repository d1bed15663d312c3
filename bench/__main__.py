"""`python -m bench [PART …]`: run the benchmarks and write bench/RESULTS.md. Without a part, all of them.

The figures of each part are kept in bench/results, with date and machine; the page is made from those.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figures import Figure

# Each is a module of this folder with `async def main() -> list[Figure]`.
PARTS: Mapping[str, str] = {
    "service": "The service: start, webhooks, subscriptions",
    "recorded": "A recording's way to the provider",
    "two_voices": "Two voices in one recording",
    "local_speech": "Local speech",
    "local_clone": "Local cloning: time",
    "likeness": "Local cloning: likeness",
}
_FOLDER = Path(__file__).parent
_RESULTS = _FOLDER / "results"


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        sys.exit(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    console = Console(highlight=False)
    for part in wanted:
        console.print(f"\n[bold]{PARTS[part]}[/bold]")
        figures: Sequence[Figure] = asyncio.run(import_module(f"bench.{part}").main())
        _show(console, figures)
        _keep(part, figures)
    (_FOLDER / "RESULTS.md").write_text(_page(), encoding="utf-8")


def _show(console: Console, figures: Sequence[Figure]) -> None:
    table = Table("figure", "value", "goal", "", box=None, pad_edge=False)
    for figure in figures:
        table.add_row(figure.name, figure.value, figure.goal, _mark(figure.good))
    console.print(table)


def _keep(part: str, figures: Sequence[Figure]) -> None:
    _RESULTS.mkdir(exist_ok=True)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}",
        "figures": [asdict(figure) for figure in figures],
    }
    path = _RESULTS / f"{part}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _page() -> str:
    lines = [
        "# Results",
        "",
        "The last figures of `make bench`, with date and machine. A goal that is missed is marked as missed.",
    ]
    for part, title in PARTS.items():
        path = _RESULTS / f"{part}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        lines += ["", f"## {title}", "", f"{result['date']}, {result['machine']}", ""]
        lines += ["| figure | value | goal | |", "|---|---|---|---|"]
        for figure in result["figures"]:
            lines.append(f"| {figure['name']} | {figure['value']} | {figure['goal']} | {_mark(figure['good'])} |")
    return "\n".join(lines) + "\n"


def _mark(good: bool | None) -> str:
    return "" if good is None else "met" if good else "**missed**"


if __name__ == "__main__":
    main()
