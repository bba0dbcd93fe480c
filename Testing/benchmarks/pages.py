"""Bring the figures of docs/results/*.json into the pages and the model cards.

Run: python Testing/benchmarks/pages.py           (make bench does, at its end)

A page holds ``<!-- result NAME -->`` ... ``<!-- end -->``; what lies between is written here. The
README's few figures and the ``figures`` of the model cards are picked in this file.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import results
from results import ROOT, mean, shown

PAGES = ("README.md", "docs/benchmarks.md")
SOURCE = "https://github.com/QSMSeparation/SlicerQSMSeparation/blob/main/docs/results"
CARDS = ROOT / "QSMSeparationLib" / "weights"
_BLOCK = re.compile(r"(<!-- result (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

# Card: the row that is the network's, and the null beside it, in each table that has both.
CARD_ROWS: dict[str, tuple[tuple[str, ...], tuple[str, str]]] = {
    "chi-sepnet": (("suite_separations",), ("chi-sepnet-r2prime", "closed-form")),
    "susep-net": (("suite_separations",), ("susep-net", "closed-form")),
    "r2primenet": (("oracle", "oracle_lesions"), ("chi-sepnet-r2star", "r2star-qsm")),
    "qsmnet": (("suite_inversions",), ("qsmnet", "tv")),
    "cycle-qsm": (("inversions",), ("cycle-qsm", "tv")),
}


def table_block(name: str, above: set[str]) -> str:
    """Return a table with what is needed to judge it; commands that stand above are left out."""
    table = results.load(name)
    measured = table["measured"]
    hand = ", filled in by hand" if table.get("by_hand") else ""
    origin = (
        f"{measured['cases'].capitalize()}; commit `{measured['commit']}`. "
        f"[All commands]({SOURCE}/{name}.json){hand}."
    )
    about = f"**{table['title']}.** {table['about']}".replace("R2*", "R2\\*")
    parts = [about, results.markdown(table), origin]
    commands = [c for c in table["commands"] if not c.startswith("qsmsep simulate")]
    if not above.issuperset(commands):
        parts.append("\n".join(f"    {command}" for command in commands))
        above.update(commands)
    return "\n\n".join(parts)


def readme_block() -> str:
    """Return the README's figures: the defaults from raw scans beside the closed form."""
    error = ("error of the map (NRMSE, %)", "{}_nrmse_percent", 0)
    all_figures = (
        error,
        ("means of lesions, correlation with truth", "lesion_{}_r", 2),
        ("lesion classes, kappa", "class_{}_kappa", 2),
    )
    methods = (
        ("with a spin echo", "chi-sepnet-r2prime", all_figures),
        ("without", "joint-net", all_figures),
        ("closed form", "closed-form", (error,)),
    )
    rows = {
        f"{name}, {what}": [
            _of_heads(kind, method, key.format(source), digits)
            for kind in ("clean", "real")
            for source in ("para", "dia")
        ]
        for name, method, figures in methods
        for what, key, digits in figures
    }
    lines = [
        "| from the raw scan of a simulated head | chi+ clean | chi- clean | chi+ real | chi- real |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {title} | {' | '.join(cells)} |" for title, cells in rows.items()]
    time = results.row("times", matrix="256x224x176")
    measured = results.load("suite_separations")["measured"]
    lines += [
        "",
        "*Clean* heads obey the equations, *real* ones are as scans are measured to be: tissue that "
        f"no relaxivity fits, fields that no source explains. {measured['cases'].capitalize()}; "
        f"commit `{measured['commit']}`. A scan of {time['matrix']} voxels takes "
        f"{time['seconds']:.0f} s and {time['peak_mib'] / 1024:.1f} GB on two cores.",
    ]
    return "\n".join(lines)


def _of_heads(kind: str, method: str, key: str, digits: int) -> str:
    """Return a figure of the suite."""
    return shown(results.row("suite_separations", kind=kind, method=method)[key], digits)


def refreshed(text: str) -> str:
    """Return a page with its figures as they are in the tables."""
    above: set[str] = set()

    def block(match: re.Match[str]) -> str:
        inner = readme_block() if match[2] == "readme" else table_block(match[2], above)
        return f"{match[1]}\n{inner}\n\n{match[3]}"

    return _BLOCK.sub(block, text)


def card_figures(network: str) -> dict[str, Any]:
    """Return the figures of a model card."""
    tables, (own, null) = CARD_ROWS[network]
    figures: dict[str, Any] = {}
    for name in tables:
        table = results.load(name)
        numbers = [column for column in table["columns"] if "digits" in column]
        titles = Counter(column["title"] for column in numbers)
        names = {c["key"]: c["title"] if titles[c["title"]] == 1 else c["key"] for c in numbers}
        by_kind: dict[str, dict[str, Any]] = {}
        for row in table["rows"]:
            by_kind.setdefault(row.get("kind", ""), {})[row["method"]] = row
        for kind, rows in by_kind.items():
            if own not in rows:
                continue
            figures[f"{table['title']}, {kind} heads" if kind else table["title"]] = {
                "measured": f"{table['measured']['cases']}, commit {table['measured']['commit']}",
                **{
                    method: {names[c["key"]]: round(mean(rows[method][c["key"]]), c["digits"])
                             for c in numbers if c["key"] in rows[method]}
                    for method in (own, null) if method in rows
                },
            }  # fmt: skip
    return figures | {"source": "docs/results, made by 'make bench'; see docs/benchmarks.md"}


def refreshed_card(path: Path) -> str:
    """Return a model card with its figures as they are in the tables."""
    card = json.loads(path.read_text(encoding="utf-8"))
    if path.stem in CARD_ROWS:
        card["figures"] = card_figures(path.stem)
    return json.dumps(card, indent=2, ensure_ascii=False) + "\n"


def all_files() -> dict[Path, str]:
    """Return every file that shows figures, as it should be."""
    pages = {ROOT / name: refreshed((ROOT / name).read_text(encoding="utf-8")) for name in PAGES}
    cards = {CARDS / f"{name}.json": refreshed_card(CARDS / f"{name}.json") for name in CARD_ROWS}
    return pages | cards


def main() -> None:
    """Write them."""
    for path, text in all_files().items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
