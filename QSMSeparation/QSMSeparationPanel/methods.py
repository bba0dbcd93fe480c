"""The choice of methods and their parameters, filled from the catalogue."""

from __future__ import annotations

import json
from typing import Any

import qt
from slicer.i18n import tr as _

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.method import Method, Parameter, Value
from QSMSeparationLib.runtime.errors import InputError
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
        return [_("there is no method '{name}'; choose another").format(name=method)]
    inversions = {m.name for m in catalogue.methods("inversion")}
    if "local_field" in inputs.available and inversion not in inversions:
        return [_("there is no inversion '{name}'; choose another").format(name=inversion)]
    chosen = chosen_methods(method, inversion, inputs)
    problems = [(m, method_problem(m, inputs)) for m in chosen]
    return [f"{m.title} {problem}" for m, problem in problems if problem]


def changed_settings(settings: str) -> dict[str, Value]:
    """Return the parameters that differ from their defaults, as the parameter node keeps them."""
    try:
        values = json.loads(settings or "{}")
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {n: value for n, value in values.items() if isinstance(value, (bool, int, float, str))}


def parameter_options(settings: str, chosen: list[Method]) -> list[str]:
    """Return the options of the command line for parameters that were changed."""
    known = {p.name for m in chosen for p in m.parameters}
    values = {n: v for n, v in changed_settings(settings).items() if n in known}
    return [
        part for name, value in values.items() for part in ("--set", f"{name}={_as_text(value)}")
    ]


def _as_text(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


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
        self.fields: dict[str, Field] = {}
        self._form = qt.QFormLayout(ui.parametersFrame)
        self._fill(
            ui.methodComboBox, "separation", [(AUTOMATIC, _("Automatic (by what there is)"))]
        )
        self._fill(ui.inversionComboBox, "inversion", [])
        ui.methodComboBox.connect(
            "currentIndexChanged(int)", lambda *_unused: self._chosen("method")
        )
        ui.inversionComboBox.connect(
            "currentIndexChanged(int)", lambda *_unused: self._chosen("inversion")
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
        """Show the chosen methods, grey what lacks an input, and list their parameters."""
        self._filling = True
        for which, value in (("method", method), ("inversion", inversion)):
            combo = self._combo(which)
            combo.setCurrentIndex(combo.findData(value))
            stage = "separation" if which == "method" else "inversion"
            for one in catalogue.methods(stage):
                self._mark(combo, one, method_problem(one, inputs))
        self._ui.inversionComboBox.enabled = "local_field" in inputs.available
        self._ui.drAutoCheckBox.enabled = "r2prime" in inputs.available
        self._filling = False
        self._settings = settings
        chosen = chosen_methods(method, inversion, inputs)
        names = tuple(m.name for m in chosen)
        if names != self._shown:
            self._shown = names
            self._list_parameters(chosen)
        changed = changed_settings(settings)
        for name, field in self.fields.items():
            field.show(changed.get(name, field.parameter.default))
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
        self.fields = {}
        for method in chosen:
            for parameter in method.parameters:
                if parameter.name in self.fields:
                    widget = self.fields[parameter.name].widget
                    widget.toolTip = f"{widget.toolTip}; {method.title}: {parameter.help}"
                    continue
                field = Field(parameter, self._set)
                field.widget.toolTip = _("{method}: {help} (default {default})").format(
                    method=method.title,
                    help=parameter.help,
                    default=parameter.shown(parameter.default),
                )
                self.fields[parameter.name] = field
                self._form.addRow(parameter.name.replace("_", " "), field.widget)

    def _set(self, parameter: Parameter, value: Value) -> None:
        values = changed_settings(self._settings) | {parameter.name: value}
        if value == parameter.default:
            del values[parameter.name]
        self._settings = json.dumps(values) if values else ""
        self._changed("settings", self._settings)


class Field:
    """A widget for one parameter of a method, by the parameter's kind.

    Parameters
    ----------
    parameter : Parameter
        What it shows.
    changed : callable
        Called with the parameter and the value that the user set.
    """

    def __init__(self, parameter: Parameter, changed: Any) -> None:
        self.parameter, self._changed = parameter, changed
        self.widget = getattr(self, f"_make_{parameter.kind}")()
        self.widget.objectName = f"parameter_{parameter.name}"
        self.show(parameter.default)

    def show(self, value: Value) -> None:
        """Show a value without telling of it; one that is not allowed shows the default."""
        widget, kind = self.widget, self.parameter.kind
        try:
            value = self.parameter.checked(value)
        except InputError:
            value = self.parameter.default
        widget.blockSignals(True)
        if kind == "choice":
            widget.setCurrentIndex(self.parameter.choices.index(value))
        elif kind == "bool":
            widget.checked = value
        elif widget.value != value:
            widget.value = float(value)
        widget.blockSignals(False)

    def _make_choice(self) -> Any:
        combo = qt.QComboBox()
        combo.addItems(list(self.parameter.choices))
        combo.connect(
            "currentIndexChanged(int)",
            lambda index: self._changed(self.parameter, self.parameter.choices[index]),
        )
        return combo

    def _make_bool(self) -> Any:
        box = qt.QCheckBox()
        box.connect("toggled(bool)", lambda checked: self._changed(self.parameter, bool(checked)))
        return box

    def _make_int(self) -> Any:
        return self._make_number(0, 1.0)

    def _make_float(self) -> Any:
        return self._make_number(3, max(0.001, round(float(self.parameter.default) / 10, 3)))

    def _make_number(self, decimals: int, step: float) -> Any:
        box, parameter = qt.QDoubleSpinBox(), self.parameter
        box.decimals = decimals
        box.minimum, box.maximum = float(parameter.low), float(parameter.high)
        box.singleStep = step
        box.suffix = f" {parameter.unit}" if parameter.unit else ""
        # The box rounds to its digits: what it shows is compared with what it would show.
        default = round(float(parameter.default), decimals)

        def changed(value: float) -> None:
            shown = round(value, decimals)
            if abs(shown - default) < 10.0 ** -(decimals + 1):
                self._changed(parameter, parameter.default)
            else:
                self._changed(parameter, int(shown) if parameter.kind == "int" else shown)

        box.connect("valueChanged(double)", changed)
        return box


def _about(method: Method) -> str:
    needs = ", ".join(_NAMES.get(name, name) for name in method.needs)
    return _("{method}: needs {needs}. {citation}").format(
        method=method.title, needs=needs, citation=method.citation
    )
