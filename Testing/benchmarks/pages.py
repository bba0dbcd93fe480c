"""Bring the figures of docs/results/*.json into the pages and the model cards.

Run: python Testing/benchmarks/pages.py           (make bench does, at its end)

A page holds ``<!-- result NAME -->`` ... ``<!-- end -->``; what lies between is written here. The
README's few figures and the ``figures`` of the model cards are picked in this file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import results
from results import ROOT, mean, shown

PAGES = ("README.md", "docs/benchmarks.md")
SOURCE = "https://github.com/QSMSeparation/SlicerQSMSeparation/blob/main/docs/results"
CARDS = ROOT / "QSMSeparationLib" / "weights"
_BLOCK = re.compile(r"(<!-- result (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

# Card: the row that is the network's, and the null beside it, in each table that has both.
_SOURCES = ("oracle", "oracle_lesions", "chain", "chain_lesions", "other_values")
CARD_ROWS: dict[str, tuple[tuple[str, ...], tuple[str, str]]] = {
    "chi-sepnet": (_SOURCES, ("chi-sepnet-r2prime", "closed-form")),
    "susep-net": (_SOURCES, ("susep-net", "closed-form")),
    "r2primenet": (("oracle", "oracle_lesions"), ("chi-sepnet-r2star", "r2star-qsm")),
    "qsmnet": (("inversions",), ("qsmnet", "tv")),
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
    """Return the README's figures: the default method from raw scans beside the closed form."""
    default, null = ("chi-sepnet-r2prime", "closed-form")
    errors, lesions = (
        results.row("chain", method=default),
        results.row("chain_lesions", method=default),
    )
    before = results.row("chain", method=null)
    time = results.row("times", matrix="256x224x176")
    cells = {
        "error of the map (NRMSE), closed form in brackets": [
            f"{mean(errors[key]):.1f} % ({mean(before[key]):.1f} %)"
            for key in ("para_nrmse_percent", "dia_nrmse_percent")
        ],
        "mean of a lesion, slope against truth (1 is right)": [
            shown(lesions[key], 2) for key in ("lesion_para_slope", "lesion_dia_slope")
        ],
        "lesion classes, agreement with truth beyond chance (kappa)": [
            shown(lesions[key], 2) for key in ("class_para_kappa", "class_dia_kappa")
        ],
    }
    lines = ["| six simulated heads, from the raw scan | chi+ | chi- |", "| --- | --- | --- |"]
    lines += [f"| {title} | {' | '.join(both)} |" for title, both in cells.items()]
    measured = results.load("chain")["measured"]
    lines += ["", f"A scan of {time['matrix']} voxels takes {time['seconds']:.0f} s and "
              f"{time['peak_mib'] / 1024:.1f} GB on two cores. Measured on commit "
              f"`{measured['commit']}`."]  # fmt: skip
    return "\n".join(lines)


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
        rows = {row["method"]: row for row in table["rows"]}
        if own not in rows:
            continue
        numbers = [column for column in table["columns"] if column["key"] != "method"]
        figures[table["title"]] = {
            "measured": f"{table['measured']['cases']}, commit {table['measured']['commit']}",
            **{
                method: {c["title"]: round(mean(rows[method][c["key"]]), c["digits"]) for c in numbers
                         if c["key"] in rows[method]}
                for method in (own, null)
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
