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
    if args.json:
        print(json.dumps([m.describe() for m in catalogue.methods()], indent=2))
        return
    for method in catalogue.methods():
        inputs = f"needs {', '.join(method.needs)}"
        if method.uses:
            inputs += f"; uses {', '.join(method.uses)} where there is one"
        print(f"{method.stage:<11} {method.name:<22} {method.title}; {inputs}")
        for p in method.parameters:
            print(f"{'':<34} {p.name} = {p.shown(p.default)} ({p.allowed}): {p.help}")
