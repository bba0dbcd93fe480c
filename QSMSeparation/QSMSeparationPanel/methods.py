"""The choice of methods and their parameters, filled from the catalogue."""

from __future__ import annotations

import json
from typing import Any

import qt

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.method import Method, Parameter
from QSMSeparationPanel.checks import Inputs, method_problem

AUTOMATIC = ""
"""Name of the entry that leaves the choice of the separation to what is known."""
_NAMES = {"local_field": "local field", "net": "QSM", "r2prime": "R2'", "r2star": "R2*"}
_ENABLED, _DISABLED = 33, 0  # Qt.ItemIsSelectable | Qt.ItemIsEnabled, and neither


def chosen_methods(method: str, inversion: str, inputs: Inputs) -> list[Method]:
    """Return the methods that a run would use: inversion where there is a field, separation."""
    found = []
    if "local_field" in inputs.available:
        found += [m for m in catalogue.methods("inversion") if m.name == inversion]
    name = method or catalogue.default_separation(inputs.available, inputs.b0_tesla)
    return found + [m for m in catalogue.methods("separation") if m.name == name]


def method_problems(method: str, inversion: str, inputs: Inputs) -> list[str]:
    """Return why the chosen methods cannot run."""
    names = {m.name for m in catalogue.methods("separation")}
    if method and method not in names:
        return [f"there is no method '{method}'; choose another"]
    inversions = {m.name for m in catalogue.methods("inversion")}
    if "local_field" in inputs.available and inversion not in inversions:
        return [f"there is no inversion '{inversion}'; choose another"]
    chosen = chosen_methods(method, inversion, inputs)
    problems = [(m, method_problem(m, inputs)) for m in chosen]
    return [f"{m.title} {problem}" for m, problem in problems if problem]


def changed_settings(settings: str) -> dict[str, float]:
    """Return the parameters that differ from their defaults, as the parameter node keeps them."""
    try:
        values = json.loads(settings or "{}")
        return {str(name): float(value) for name, value in values.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def parameter_options(settings: str, chosen: list[Method]) -> list[str]:
    """Return the options of the command line for parameters that were changed."""
    known = {p.name for m in chosen for p in m.parameters}
    values = {n: v for n, v in changed_settings(settings).items() if n in known}
    return [part for name, value in values.items() for part in ("--set", f"{name}={value:g}")]


class MethodControls:
    """Combo boxes of the methods and a form of their parameters.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    changed : callable
        Called with the name and the value of a parameter of the node that the user changed.
    """

    def __init__(self, ui: Any, changed: Any) -> None:
        self._ui, self._changed = ui, changed
        self._filling = False
        self._settings = ""
        self._shown: tuple[str, ...] = ()
        self.spin_boxes: dict[str, Any] = {}
        self._form = qt.QFormLayout(ui.parametersFrame)
        self._fill(ui.methodComboBox, "separation", [(AUTOMATIC, "Automatic (by what there is)")])
        self._fill(ui.inversionComboBox, "inversion", [])
        ui.methodComboBox.connect("currentIndexChanged(int)", lambda *_: self._chosen("method"))
        ui.inversionComboBox.connect(
            "currentIndexChanged(int)", lambda *_: self._chosen("inversion")
        )

    def _fill(self, combo: Any, stage: str, first: list[tuple[str, str]]) -> None:
        names = [*first, *((m.name, m.title) for m in catalogue.methods(stage))]
        self._filling = True
        combo.clear()
        for name, title in names:
            combo.addItem(title, name)
        self._filling = False

    def _combo(self, which: str) -> Any:
        return self._ui.methodComboBox if which == "method" else self._ui.inversionComboBox

    def _chosen(self, which: str) -> None:
        if not self._filling:
            combo = self._combo(which)
            self._changed(which, combo.itemData(combo.currentIndex))

    def show(self, method: str, inversion: str, settings: str, inputs: Inputs) -> None:
        """Show the chosen methods, grey those that lack an input, and list their parameters."""
        self._filling = True
        for which, value in (("method", method), ("inversion", inversion)):
            combo = self._combo(which)
            combo.setCurrentIndex(combo.findData(value))
            stage = "separation" if which == "method" else "inversion"
            for one in catalogue.methods(stage):
                self._mark(combo, one, method_problem(one, inputs))
        self._ui.inversionComboBox.enabled = "local_field" in inputs.available
        self._filling = False
        self._settings = settings
        chosen = chosen_methods(method, inversion, inputs)
        names = tuple(m.name for m in chosen)
        if names != self._shown:
            self._shown = names
            self._list_parameters(chosen)
        for name, box in self.spin_boxes.items():
            value = changed_settings(settings).get(name, box.property("default"))
            if box.value != value:
                box.blockSignals(True)
                box.value = value
                box.blockSignals(False)
        self._ui.methodLabel.text = "\n".join(_about(m) for m in chosen)

    def _mark(self, combo: Any, method: Method, problem: str) -> None:
        index = combo.findData(method.name)
        combo.setItemText(index, f"{method.title} - {problem}" if problem else method.title)
        combo.setItemData(index, _about(method), qt.Qt.ToolTipRole)
        flags = _DISABLED if problem else _ENABLED
        combo.setItemData(index, flags, int(qt.Qt.UserRole) - 1)  # where Qt keeps an item's flags

    def _list_parameters(self, chosen: list[Method]) -> None:
        while self._form.rowCount():
            self._form.removeRow(0)
        self.spin_boxes = {}
        for method in chosen:
            for parameter in method.parameters:
                if parameter.name in self.spin_boxes:
                    box = self.spin_boxes[parameter.name]
                    box.toolTip = f"{box.toolTip}; {method.title}: {parameter.help}"
                    continue
                box = self._spin_box(parameter, method)
                self.spin_boxes[parameter.name] = box
                self._form.addRow(parameter.name.replace("_", " "), box)

    def _spin_box(self, parameter: Parameter, method: Method) -> Any:
        box = qt.QDoubleSpinBox()
        box.objectName = f"parameter_{parameter.name}"
        box.decimals = 3 if parameter.kind == "float" else 0
        yes_no = parameter.kind == "bool"
        box.minimum, box.maximum = (0, 1) if yes_no else (parameter.low, parameter.high)
        box.singleStep = 1.0 if box.decimals == 0 else max(0.001, round(parameter.default / 10, 3))
        box.suffix = f" {parameter.unit}" if parameter.unit else ""
        box.toolTip = (
            f"{method.title}: {parameter.help} (default {parameter.shown(parameter.default)})"
        )
        box.setProperty("default", float(parameter.default))
        box.value = float(parameter.default)
        box.connect(
            "valueChanged(double)", lambda value, name=parameter.name: self._set(name, value)
        )
        return box

    def _set(self, name: str, value: float) -> None:
        values = changed_settings(self._settings) | {name: value}
        default = self.spin_boxes[name].property("default")
        if abs(value - default) < 1e-9:
            del values[name]
        self._settings = json.dumps(values) if values else ""
        self._changed("settings", self._settings)


def _about(method: Method) -> str:
    needs = ", ".join(
        {"local_field": "local field", "net": "QSM", "r2prime": "R2'", "r2star": "R2*"}.get(n, n)
        for n in method.needs
    )
    return f"{method.title}: needs {needs}. {method.citation}"
