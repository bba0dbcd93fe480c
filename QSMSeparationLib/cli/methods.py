"""``qsmsep methods``: list the catalogue."""

from __future__ import annotations

import argparse
import json

from QSMSeparationLib import catalogue
from QSMSeparationLib.cli.arguments import Commands, add_command
from QSMSeparationLib.runtime.progress import Progress


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "methods", "list all methods with their inputs and parameters")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> None:
    """List the catalogue."""
    rows = [m.describe() for m in catalogue.methods()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(
            f"{row['stage']:<11} {row['name']:<22} {row['title']}; needs {', '.join(row['needs'])}"
        )
        for p in row["parameters"]:
            unit = f" {p['unit']}" if p["unit"] else ""
            print(
                f"{'':<34} {p['name']} = {p['default']:g}{unit} ({p['low']:g} to {p['high']:g}): {p['help']}"
            )
