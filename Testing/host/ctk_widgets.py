"""The widgets of the Common Toolkit (``ctk``) that scripted modules use, made of plain Qt.

Names, properties, signals and slots are those of CTK; the drawing is not. A property that a .ui
file sets must be a ``qt.Property`` here, else the loader refuses the file.
"""

from __future__ import annotations

import re
import sys
import types

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, QEvent, Signal


def stored(kind: object, name: str, default: object, notify: str = "") -> Property:
    """Return a Qt property kept in ``_name`` that calls ``_on_name`` and emits `notify`."""
    attribute = f"_{name}"

    def read(self: QtCore.QObject) -> object:
        return self.__dict__.get(attribute, default)

    def write(self: QtCore.QObject, value: object) -> None:
        if read(self) == value:
            return
        self.__dict__[attribute] = value
        getattr(self, f"_on_{name}", lambda: None)()
        if notify:
            getattr(self, notify).emit(value)

    return Property(kind, read, write)


def forwarded(kind: object, name: str, inner: str) -> Property:
    """Return a Qt property that is the property of the same name of the child kept in `inner`."""

    def read(self: QtCore.QObject) -> object:
        return QtCore.QObject.property(getattr(self, inner), name)

    def write(self: QtCore.QObject, value: object) -> None:
        QtCore.QObject.setProperty(getattr(self, inner), name, value)

    return Property(kind, read, write)


def row(widget: QtWidgets.QWidget, *children: QtWidgets.QWidget) -> None:
    """Put `children` side by side into `widget`, without margins."""
    layout = QtWidgets.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for child in children:
        layout.addWidget(child)


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A section with a title; a click on the title hides or shows what is in it."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None):
        super().__init__(parent)
        self._collapsed = False
        self._hidden: set[QtCore.QObject] = set()  # by others than this section
        self._forcing = False
        self.setContentsMargins(4, self._title_height(), 4, 2)
        self.clicked.connect(lambda: self.setCollapsed(not self._collapsed))

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, value: bool) -> None:
        if value == self._collapsed:
            return
        self._collapsed = value
        self._show_contents()
        self.contentsCollapsed.emit(value)

    collapsed = Property(bool, _get_collapsed, setCollapsed)
    collapsedHeight = stored(int, "collapsedHeight", 10)
    flat = stored(bool, "flat", False)

    def _show_contents(self) -> None:
        """Hide all that is in a closed section, and show it again but for what was hidden."""
        self._forcing = True
        for child in self._contents():
            wanted = child not in self._hidden
            child.setVisible(wanted and not self._collapsed)
            if wanted:  # as in C++: else Qt sees no change when others hide it, and tells nobody
                child.setAttribute(QtCore.Qt.WA_WState_ExplicitShowHide, False)
        self._forcing = False
        self.updateGeometry()

    def eventFilter(self, child: QtCore.QObject, event: QEvent) -> bool:
        """Take notice of what is shown or hidden by others: in a closed section that waits."""
        if event.type() == QEvent.HideToParent and not self._forcing:
            self._hidden.add(child)
        elif event.type() == QEvent.ShowToParent and not self._forcing:
            self._hidden.discard(child)
            if self._collapsed:
                self._show_contents()
        return False

    def _contents(self) -> list[QtWidgets.QWidget]:
        return [c for c in self.children() if isinstance(c, QtWidgets.QWidget)]

    def _title_height(self) -> int:
        return self.fontMetrics().height() + 8

    def event(self, event: QEvent) -> bool:
        # Widgets may be put in after the section was closed, as the .ui loader does.
        if event.type() == QEvent.ChildPolished and isinstance(event.child(), QtWidgets.QWidget):
            self._follow(event.child())
        return super().event(event)

    def _follow(self, child: QtWidgets.QWidget) -> None:
        if child.isHidden() and child.testAttribute(QtCore.Qt.WA_WState_ExplicitShowHide):
            self._hidden.add(child)
        child.installEventFilter(self)
        if self._collapsed:
            self._show_contents()

    def showEvent(self, event: QEvent) -> None:
        super().showEvent(event)
        self._show_contents()

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() <= self._title_height()

    def paintEvent(self, event: QEvent) -> None:
        painter = QtGui.QPainter(self)
        title = QtCore.QRect(0, 0, self.width, self._title_height() - 2)
        painter.fillRect(title, self.palette.color(QtGui.QPalette.Button))
        option = QtWidgets.QStyleOption()
        option.initFrom(self)
        option.rect = QtCore.QRect(4, 4, 12, title.height() - 8)
        arrows = QtWidgets.QStyle.PE_IndicatorArrowRight, QtWidgets.QStyle.PE_IndicatorArrowDown
        self.style().drawPrimitive(arrows[not self._collapsed], option, painter, self)
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(title.adjusted(22, 0, 0, 0), QtCore.Qt.AlignVCenter, self.text)


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box whose check mark hides its contents."""

    def _get_collapsed(self) -> bool:
        return self.__dict__.get("_collapsed", False)

    def _set_collapsed(self, value: bool) -> None:
        self._collapsed = value
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not value)

    collapsed = Property(bool, _get_collapsed, _set_collapsed)


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show the same number."""

    valueChanged = Signal(float)
    _STEPS = 1000

    def __init__(self, parent: QtWidgets.QWidget | None = None):
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._slider.setRange(0, self._STEPS)
        self._spin = QtWidgets.QDoubleSpinBox()
        self._spin.setRange(0, 99)
        row(self, self._slider, self._spin)
        self._spin.valueChanged.connect(self._spin_changed)
        self._slider.sliderMoved.connect(self._slider_moved)

    value = forwarded(float, "value", "_spin")
    minimum = forwarded(float, "minimum", "_spin")
    maximum = forwarded(float, "maximum", "_spin")
    singleStep = forwarded(float, "singleStep", "_spin")
    decimals = forwarded(int, "decimals", "_spin")
    suffix = forwarded(str, "suffix", "_spin")
    prefix = forwarded(str, "prefix", "_spin")
    pageStep = stored(float, "pageStep", 10.0)
    tracking = stored(bool, "tracking", True)

    def setRange(self, low: float, high: float) -> None:
        self._spin.setRange(low, high)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def _spin_changed(self, value: float) -> None:
        span = self.maximum - self.minimum
        self._slider.setValue(round(self._STEPS * (value - self.minimum) / span) if span else 0)
        self.valueChanged.emit(value)

    def _slider_moved(self, step: int) -> None:
        span = self.maximum - self.minimum
        self._spin.setValue(self.minimum + step * span / self._STEPS)


class ctkPathLineEdit(QtWidgets.QWidget):
    """The path of a file or folder, typed or chosen.

    As in CTK, ``currentPathChanged`` comes only for text that the filters accept, never for an
    empty one; ``validInputChanged`` tells that it became acceptable or no longer is. The paths
    that were added to the history are kept in the settings, and the newest is shown at once.
    """

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    Dirs, Files, Drives, NoSymLinks, AllEntries = 0x001, 0x002, 0x004, 0x008, 0x007
    Readable, Writable, Executable, Hidden = 0x010, 0x020, 0x040, 0x100
    _KEPT = 5

    def __init__(self, parent: QtWidgets.QWidget | None = None):
        super().__init__(parent)
        self._valid = False
        self._combo = QtWidgets.QComboBox()
        self._combo.setEditable(True)
        self._combo.setInsertPolicy(QtWidgets.QComboBox.NoInsert)
        self._edit = self._combo.lineEdit()
        self._validator = QtGui.QRegularExpressionValidator(self)
        self._edit.setValidator(self._validator)
        self._on_nameFilters()
        browse = QtWidgets.QToolButton()
        browse.setText("...")
        row(self, self._combo, browse)
        self._edit.textChanged.connect(lambda _text: self._update_valid())

    def _get_path(self) -> str:
        return self._edit.text

    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(str(path))

    currentPath = Property(str, _get_path, setCurrentPath)
    filters = stored(int, "filters", 0x002)
    nameFilters = stored("QStringList", "nameFilters", [])
    settingKey = stored(str, "settingKey", "")
    label = stored(str, "label", "")
    showBrowseButton = stored(bool, "showBrowseButton", True)
    showHistoryButton = stored(bool, "showHistoryButton", True)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo

    def addCurrentPathToHistory(self) -> None:
        path = self.currentPath
        if not path:
            return
        settings = QtCore.QSettings()
        kept = [path, *(p for p in self._history(settings) if p != path)]
        settings.setValue(self._key(), kept)
        self._list(kept)
        self._combo.setCurrentIndex(0)

    def _on_settingKey(self) -> None:
        """Fetch the history; the newest path is shown where none is."""
        path = self.currentPath
        blocked = self.blockSignals(True)
        self._list(self._history(QtCore.QSettings()))
        self._edit.setText(path)
        self.blockSignals(blocked)
        if not path:
            self._combo.setCurrentIndex(0)
            self._edit.setText(self._combo.currentText)

    def _on_nameFilters(self) -> None:
        """Accept what ends as a filter says; anything but nothing without filters."""
        endings = re.findall(r"\*(\.[\w.]+)", " ".join(self.nameFilters))
        # The question mark is CTK's: the last letter of the ending may be missing.
        pattern = "|".join(f".*{re.escape(ending)}?$" for ending in endings)
        self._validator.setRegularExpression(
            QtCore.QRegularExpression(f"({pattern})" if endings else ".+")
        )

    def _update_valid(self) -> None:
        before, self._valid = self._valid, bool(self._edit.hasAcceptableInput())
        if self._valid:
            self.currentPathChanged.emit(self.currentPath)
        if self._valid != before:
            self.validInputChanged.emit(self._valid)

    def _key(self) -> str:
        return f"ctkPathLineEdit/{self.settingKey or self.objectName}"

    def _history(self, settings: QtCore.QSettings) -> list[str]:
        found = settings.value(self._key()) or []
        return [found] if isinstance(found, str) else list(found)

    def _list(self, paths: list[str]) -> None:
        self._combo.clear()
        self._combo.addItems(paths[: self._KEPT])


class ctkDirectoryButton(QtWidgets.QPushButton):
    """A button that shows a folder and chooses another."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    directory = stored(str, "directory", "", notify="directoryChanged")
    caption = stored(str, "caption", "")


class ctkColorPickerButton(QtWidgets.QPushButton):
    """A button that shows a color."""

    colorChanged = Signal(QtGui.QColor)
    color = stored(QtGui.QColor, "color", QtGui.QColor(), notify="colorChanged")


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box with a "do not show again" key."""

    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")


class ctkCheckablePushButton(QtWidgets.QPushButton):
    """A push button with a check box in it."""

    checkBoxControlsButton = stored(bool, "checkBoxControlsButton", True)
    checkBoxUserCheckable = stored(bool, "checkBoxUserCheckable", True)


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a default text."""

    defaultText = stored(str, "defaultText", "")


class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box."""


class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """A spin box of decimals."""


class ctkMenuButton(QtWidgets.QPushButton):
    """A button with a menu beside it."""


class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    """A text browser as high as its text."""

    collapsed = stored(bool, "collapsed", False)


class ctkDoubleSlider(QtWidgets.QWidget):
    """Known by name alone, as Slicer's table of widgets for parameters asks for it."""


class ctkRangeWidget(QtWidgets.QWidget):
    """Known by name alone."""


class ctkDoubleRangeSlider(QtWidgets.QWidget):
    """Known by name alone."""


def install() -> types.ModuleType:
    """Register the classes of this file as the module ``ctk`` and return it."""
    ctk = types.ModuleType("ctk", __doc__)
    for name, value in list(globals().items()):
        if name.startswith("ctk"):
            setattr(ctk, name, value)
    sys.modules["ctk"] = ctk
    return ctk
