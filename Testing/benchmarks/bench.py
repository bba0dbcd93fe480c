"""Measure the tables of docs/results anew, then bring them into the pages and the model cards.

Run: python Testing/benchmarks/bench.py [NAME ...] [--label-maps FOLDER] [--work FOLDER]

Every table holds its own commands (see results.py). They run in turn; a simulated head that is
there already is not made again, and a command that two tables share runs once. Without a folder of
label maps (SynthSeg's, head03.nii.gz and head07.nii.gz) the heads made from them are left out, and
the table says so. All tables together take hours; those filled in by hand are skipped.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pages
import results

from QSMSeparationLib import __version__
from QSMSeparationLib.evaluation.lesions import agreement_between, summarize

Rows = list[dict[str, Any]]


def run(command: str, done: set[str], places: Mapping[str, str]) -> None:
    """Run a command of a table unless it has run, or its simulated head is there already."""
    if command in done:
        return
    done.add(command)
    if "{label_maps}" in command and not places["label_maps"]:
        print(f"left out, no label maps: {command}", flush=True)
        return
    words = [word.format(**places) for word in shlex.split(command)]
    if words[:2] == ["qsmsep", "simulate"] and Path(words[2]).exists():
        return
    print(" ".join(words), flush=True)
    start = [sys.executable, "-m", "QSMSeparationLib"] if words[0] == "qsmsep" else [sys.executable]
    subprocess.run([*start, *words[1:]], check=True, cwd=results.ROOT)


def collected(table: Mapping[str, Any], places: Mapping[str, str]) -> Rows:
    """Return the rows of a table from the files that its commands wrote."""
    label = table["columns"][0]["key"]
    rows: Rows = []
    for group, place in table["collect"].items():
        path = Path(place.format(**places))
        if path.suffix == ".json":
            rows += json.loads(path.read_text(encoding="utf-8"))
            continue
        with path.open(encoding="utf-8", newline="") as file:
            found = [{k: number(v) for k, v in row.items()} for row in csv.DictReader(file)]
        named = {label: group} if group else {}
        make = agreement if table["by"] == "agreement" else summaries
        rows += [named | row for row in make(found, table["by"])]
    keys = [column["key"] for column in table["columns"]]
    return [{key: rounded(row[key]) for key in keys if known(row.get(key))} for row in rows]


def known(cell: Any) -> bool:
    """Return True if a cell holds something: no rim contrast, say, where no lesion has a rim."""
    return cell is not None and cell == cell  # a NaN is not equal to itself


def rounded(cell: Any) -> Any:
    """Return a number with as many digits as a table may show."""
    return round(cell, 4) if isinstance(cell, float) else cell


def summaries(rows: Rows, by: Sequence[str]) -> Rows:
    """Return one row a group: of lesions their slopes and classes, of scores mean and SD."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    return [
        dict(zip(by, names, strict=True))
        | (summarize(group) if "true_para" in group[0] else means(group))
        for names, group in groups.items()
    ]


def agreement(rows: Rows, _by: str) -> Rows:
    """Return how often the network without R2' gives lesions the class of the one with it."""
    pair = [
        [r for r in rows if r["method"] == f"chi-sepnet-{kind}"] for kind in ("r2prime", "r2star")
    ]
    found = agreement_between(*pair)
    return [
        {
            "source": sign,
            "percent": found[f"{source}_percent"],
            "interval": f"{found[f'{source}_low_percent']:.0f} to {found[f'{source}_high_percent']:.0f}",
            "kappa": found[f"{source}_kappa"],
        }
        for source, sign in (("para", "chi+"), ("dia", "chi-"))
    ]


def means(rows: Rows) -> dict[str, Any]:
    """Return the mean and SD over rows of every number, the number alone of one case."""
    found: dict[str, Any] = {}
    one_case = len({row.get("case") for row in rows}) == 1
    for key, first in rows[0].items():
        values = np.array([row[key] for row in rows]) if isinstance(first, float) else np.array([])
        if values.size and np.isfinite(values).all():
            mean, spread = round(float(values.mean()), 4), round(float(values.std()), 4)
            found[key] = mean if one_case else [mean, spread]
    return found


def number(text: str) -> float | str:
    """Return a cell of a CSV file as a number, where it is one; an empty one is none."""
    try:
        return float(text or "nan")
    except ValueError:
        return text


def measured(table: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, str]:
    """Return what the numbers were measured on."""
    described = ["git", "-C", str(results.ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip()
    heads = [c for c in table["commands"] if c.startswith("qsmsep simulate")]
    left_out = sum("{label_maps}" in c for c in heads) if not places["label_maps"] else 0
    note = f", without {left_out} made from label maps" if left_out else ""
    return {
        "version": __version__,
        "commit": commit or "unknown",
        "cases": table["measured"]["cases"].partition(", without")[0] + note,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "date": datetime.date.today().isoformat(),
    }


def main() -> None:
    """Measure, save, and refresh the pages after every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(results.names())}")
    parser.add_argument("--label-maps", default="", metavar="FOLDER")
    parser.add_argument("--work", default="build/bench", metavar="FOLDER")
    given = parser.parse_args()
    places = {
        "work": str(Path(given.work).resolve()),
        "label_maps": given.label_maps and str(Path(given.label_maps).resolve()),
    }
    Path(places["work"]).mkdir(parents=True, exist_ok=True)
    done: set[str] = set()
    for name in given.names or results.names():
        table = results.load(name)
        if table.get("by_hand"):
            print(f"{name}: filled in by hand, see its commands")
            continue
        heads = [c for c in table["commands"] if c.startswith("qsmsep simulate")]
        if heads and not places["label_maps"] and all("{label_maps}" in c for c in heads):
            print(f"{name}: left out, its heads are made from label maps")
            continue
        for command in table["commands"]:
            run(command, done, places)
        table |= {"measured": measured(table, places), "rows": collected(table, places)}
        results.save(name, table)
        pages.main()


if __name__ == "__main__":
    main()
