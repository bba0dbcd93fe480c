"""Tables of docs/results/*.json: read, write, show.

A file holds its title, the commands that measure it, where they leave their numbers, and the
numbers: one object a row, a number or [mean, SD] a cell. Pages and model cards take their figures
from here (pages.py); bench.py measures them anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "results"


def names() -> list[str]:
    """Return the names of all tables."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """Read a table."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def save(name: str, table: Mapping[str, Any]) -> None:
    """Write a table."""
    (FOLDER / f"{name}.json").write_text(dumped(table), encoding="utf-8", newline="\n")


def dumped(table: Mapping[str, Any]) -> str:
    """Return a table as JSON with a line a row, so that a new figure is a changed line."""
    parts = []
    for key, value in table.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value:
            lines = ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value)
            text = f"[\n{lines}\n ]"
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def row(name: str, **wanted: str) -> dict[str, Any]:
    """Return the row of a table that has these values."""
    for found in load(name)["rows"]:
        if all(found.get(key) == value for key, value in wanted.items()):
            return found
    raise KeyError(f"docs/results/{name}.json has no row with {wanted}")


def mean(cell: Any) -> float:
    """Return the mean of a cell that may hold its SD, too."""
    return cell[0] if isinstance(cell, list) else cell


def shown(cell: Any, digits: int | None) -> str:
    """Return a cell as text."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, list):
        return f"{cell[0]:.{digits}f} ({cell[1]:.{digits}f})"
    return f"{cell:.{digits or 0}f}"


def markdown(table: Mapping[str, Any]) -> str:
    """Return the rows as a table in Markdown."""
    columns = table["columns"]
    lines = [" | ".join(column["title"] for column in columns), " | ".join(["---"] * len(columns))]
    for found in table["rows"]:
        cells = [shown(found.get(column["key"]), column.get("digits")) for column in columns]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |".replace("R2*", "R2\\*") for line in lines)
