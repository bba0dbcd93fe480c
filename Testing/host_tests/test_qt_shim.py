"""The `qt` of the host behaves as PythonQt's does."""

import host
import pytest
import qt
import slicer


def test_properties_are_attributes():
    button = qt.QPushButton("Apply")
    assert button.text == "Apply"
    button.enabled = False
    button.toolTip = "why"
    assert not button.isEnabled()
    assert button.toolTip == "why"
    with pytest.raises(TypeError):
        button.text()


def test_unknown_attributes_are_refused():
    with pytest.raises(AttributeError, match="enabeld"):
        qt.QPushButton().enabeld = True
    with pytest.raises(AttributeError, match="valeu"):
        slicer.qMRMLNodeComboBox().valeu = 1


def test_own_subclasses_may_have_attributes():
    class Panel(qt.QWidget):
        pass

    panel = Panel()
    label = qt.QLabel()
    label.name = "title"
    panel.answer, panel.title = 42, label
    assert (panel.answer, panel.title) == (42, label)


def test_connect_by_signature():
    button, seen = qt.QPushButton(), []
    button.checkable = True
    button.connect("toggled(bool)", seen.append)
    button.click()
    button.disconnect("toggled(bool)", seen.append)
    button.click()
    assert seen == [True]


@pytest.mark.parametrize("signature", ["clickedd(bool)", "toggled()", "nonsense"])
def test_unknown_signal_is_refused(signature):
    with pytest.raises(ValueError, match="no signal"):
        qt.QPushButton().connect(signature, print)


def test_timer_has_a_property_and_a_static_method_of_one_name():
    timer, fired = qt.QTimer(), []
    timer.singleShot = True
    qt.QTimer.singleShot(1, lambda: fired.append(1))
    assert timer.isSingleShot()
    assert host.wait_for(lambda: fired)


def test_name_and_class_name():
    label = qt.QLabel()
    label.name = "title"
    assert (label.objectName, label.className()) == ("title", "QLabel")


def test_process_reports_its_end_and_that_it_cannot_start():
    ends, errors = [], []
    process = qt.QProcess()
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ends.append(code))
    process.connect("errorOccurred(QProcess::ProcessError)", errors.append)
    process.start("/nonexistent/program", [])
    assert host.wait_for(lambda: errors)
    assert errors == [qt.QProcess.FailedToStart]
    assert ends == []


# Qt calls some getters itself, while it lays out or paints: none of them may be a Python property.
@pytest.mark.parametrize("layout_class", ["QHBoxLayout", "QGridLayout", "QFormLayout"])
def test_layouts_compute_sizes(layout_class):
    widget = qt.QWidget()
    layout = getattr(qt, layout_class)(widget)
    layout.spacing = 5
    layout.addWidget(qt.QLabel("text"))
    widget.show()
    slicer.app.processEvents()
    assert layout.spacing() == 5
    assert widget.sizeHint().width() > 10


def test_every_widget_can_be_shown_and_all_its_properties_read():
    skipped = {"QMdiSubWindow", "QMenu", "QMenuBar", "QSizeGrip", "QRubberBand", "QTabBar"}
    shown = 0
    for name in dir(qt):
        cls = getattr(qt, name)
        is_widget = isinstance(cls, type) and issubclass(cls, qt.QWidget)
        if not is_widget or name in skipped:
            continue
        try:
            widget = cls()
        except (TypeError, NotImplementedError):
            continue  # abstract, or needs arguments
        meta = widget.metaObject()
        for index in range(meta.propertyCount()):
            getattr(widget, meta.property(index).name())
        widget.show()
        slicer.app.processEvents()
        widget.close()
        shown += 1
    assert shown > 40
