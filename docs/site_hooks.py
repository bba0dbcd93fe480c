"""Pages of the site that are made from the code: methods, command line, API; equations as MathML.

mkdocs calls the functions ``on_...`` (see ``hooks`` in mkdocs.yml).
"""

from __future__ import annotations

import argparse
import html
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from QSMSeparationLib import catalogue  # noqa: E402
from QSMSeparationLib.cli.parser import build_parser  # noqa: E402
from QSMSeparationLib.data.method import Method, Parameter  # noqa: E402
from QSMSeparationLib.data.quantities import QUANTITIES  # noqa: E402

NOT_PUBLIC = {"cli", "weights"}
"""Folders of the library without a page: the command line has a page of its own."""

STAGES = {
    "background": "Background removal: total field to local field",
    "inversion": "Inversion: local field to net chi",
    "separation": "Separation: net chi and rates to chi+ and chi-",
}

CARD_WORDS = {
    "intended_use": "Use", "inputs": "Inputs", "data": "Trained on", "held_out": "Held out",
    "losses": "Losses", "phases": "Phases", "hardware": "Hardware", "note": "Note",
    "limits": "Limits", "licence": "License", "license": "License",
}  # fmt: skip
"""Entries of a model card that are shown, and how they are called."""

GREEK = {
    "chi": "χ", "lambda": "λ", "theta": "θ", "delta": "δ", "beta": "β", "grad": "∇",
}  # fmt: skip


def on_config(config: Any) -> Any:
    """Add the pages of the API to the navigation."""
    pages = [{name: f"api/{name}.md"} for name in rooms()]
    config.nav = [{"API": pages} if "API" in item else item for item in config.nav]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here."""
    for name in rooms():
        text = f"# `{name}`\n\n::: QSMSeparationLib.{name}\n"
        files.append(File.generated(config, f"api/{name}.md", content=text))
    files.append(File.generated(config, "command-line.md", content=command_line()))
    files.append(File.generated(config, "networks.md", content=model_cards()))
    return files


def on_page_markdown(markdown: str, page: Any, **_more: Any) -> str:
    """Put the catalogue and the table of maps in the place of their markers."""
    for marker, make in (("methods", methods_text), ("maps", maps_table)):
        place = f"<!-- {marker} -->"
        if place in markdown:
            markdown = markdown.replace(place, make())
    return markdown


def on_page_content(content: str, **_more: Any) -> str:
    r"""Turn \( \) and \[ \] into MathML, which browsers draw without a script."""
    pattern = r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>'

    def mathml(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        return convert(html.unescape(match[2]), display=display)

    return re.sub(pattern, mathml, content, flags=re.DOTALL)


def rooms() -> list[str]:
    """Return the rooms of the library that have a page, and the catalogue."""
    library = ROOT / "QSMSeparationLib"
    found = sorted(p.parent.name for p in library.glob("*/__init__.py"))
    return ["catalogue", *(name for name in found if name not in NOT_PUBLIC)]


def methods_text() -> str:
    """Return a section a stage, a table of its methods and a subsection for each."""
    parts = []
    for stage, title in STAGES.items():
        own = [m for m in catalogue.methods(stage) if m.function.startswith("QSMSeparationLib.")]
        lines = [f"## {title}", "", "| name | method | needs | when |", "| --- | --- | --- | --- |"]
        lines += [
            f"| [`{m.name}`](#{stage}-{m.name}) | {escaped(m.title)} | {titles(m.needs)} | {escaped(m.when)} |"
            for m in own
        ]
        parts += ["\n".join(lines), *(method_text(m) for m in own)]
    return "\n\n".join(parts)


def method_text(method: Method) -> str:
    """Return the subsection of a method."""
    lines = [f"### `{method.name}` {{ #{method.stage}-{method.name} }}", ""]
    lines += [f"{escaped(method.title)}. {escaped(method.when)}", ""]
    lines += [f'<p class="equation">{equation(method.equation)}</p>', ""]
    lines += [f"Inputs: {titles(method.needs)}."]
    if method.uses:
        lines += [f"Used where it is known: {titles(method.uses)}."]
    if method.refits_net:
        lines += ["Writes chi+ + chi- as net chi."]
    if method.estimates_r2prime:
        lines += ["R2' is estimated, not measured."]
    if method.b0_tesla:
        low, high = method.b0_tesla
        lines += [f"Field strength: {low:g} to {high:g} T."]
    if method.networks:
        lines += [f"Networks: {', '.join(map(card_link, method.networks))}."]
    if method.parameters:
        lines += ["", "| parameter | kind | default | allowed | meaning |", "|" + " --- |" * 5]
        lines += [parameter_row(p) for p in method.parameters]
    return "\n".join([*lines, "", f"Cite: {escaped(method.citation)}."])


def parameter_row(parameter: Parameter) -> str:
    """Return the line of a parameter, which ``--set NAME=VALUE`` changes."""
    cells = (
        f"`{parameter.name}`", parameter.kind, parameter.shown(parameter.default),
        parameter.allowed, parameter.help,
    )  # fmt: skip
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"


def card_link(network: str) -> str:
    """Return a link to the model card of a network."""
    return f"[`{network}`](networks.md#{network})"


def model_cards() -> str:
    """Return a section a network, of what its model card says in words."""
    parts = [
        "# Networks",
        "What comes with the package, as the model cards beside the weights say it "
        "(`QSMSeparationLib/weights/*.json`, which also hold every setting of the training). "
        "Their figures are in [Benchmarks](benchmarks.md).",
    ]
    for path in sorted((ROOT / "QSMSeparationLib" / "weights").glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        size = path.with_suffix(".pt").stat().st_size / 1e6
        task = escaped(str(card.get("task", "")))
        lines = [f"## {path.stem}", f"{task[:1].upper()}{task[1:]}."]
        rows = [(word, card[key]) for key, word in CARD_WORDS.items() if card.get(key)]
        rows.append(("Weights", f"{size:.1f} MB, SHA-256 `{card['sha256'][:16]}...`"))
        table = ["| what | what the card says |", "| --- | --- |"]
        table += [f"| {word} | {card_cell(value)} |" for word, value in rows]
        parts += [*lines, "\n".join(table)]
    return "\n\n".join(parts)


def card_cell(value: Any) -> str:
    """Return a value of a model card as a cell of a table."""
    if isinstance(value, list):
        return "<br>".join(escaped(str(item)) for item in value)
    return escaped(str(value))


def titles(names: Iterable[str]) -> str:
    """Return maps by their titles."""
    return ", ".join(escaped(QUANTITIES[name].title) for name in names)


def maps_table() -> str:
    """Return the table of all maps."""
    lines = ["| name in code | file | unit | on screen | what |", "|" + " --- |" * 5]
    for name, row in QUANTITIES.items():
        cells = (f"`{name}`", f"`{row.bids}`", row.unit, row.unit_on_screen, row.description)
        lines.append("| " + " | ".join(escaped(cell) for cell in cells) + " |")
    return "\n".join(lines)


def command_line() -> str:
    """Return the help of every command."""
    parser = build_parser()
    [commands] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    parts = [
        "# Command line",
        "`qsmsep COMMAND ...`, or `python -m QSMSeparationLib COMMAND ...`. Exit codes: 0 done, "
        "1 failed, 2 wrong usage or unusable input, 130 canceled. With `--progress json` every "
        "line of standard output is one JSON object, and closing standard input stops the run.",
    ]
    for name, command in commands.choices.items():
        command.prog = f"qsmsep {name}"
        command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=88)
        parts += [f"## {name}", f"```text\n{command.format_help()}```"]
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """Return text that is no markup and fits a cell of a table."""
    for character in "*|[]<":
        text = text.replace(character, {"<": "&lt;"}.get(character, "\\" + character))
    return text


def equation(text: str) -> str:
    """Return an equation of the catalogue with Greek letters, indices and powers as HTML."""
    text = html.escape(text, quote=False)
    text = re.sub(r"\bsum(?=_)", "Σ", text)
    text = re.sub(r"(?<![A-Za-z])([a-z]+)(?![a-z]|-\w)", lambda m: GREEK.get(m[1], m[1]), text)
    text = re.sub(r"(χ|Dr)([+-])(?!\w)", r"\1<sup>\2</sup>", text)
    text = re.sub(r"_(\w+)", r"<sub>\1</sub>", text)
    text = re.sub(r"\^(-?\w+)", r"<sup>\1</sup>", text)
    return (
        text.replace(" - ", " − ")
        .replace("-1</sup>", "−1</sup>")
        .replace("<sup>-</sup>", "<sup>−</sup>")
        .replace("'", "′")
    )
