"""Draw the pictures of the tutorial, in the test host: the panel and the views of a real run.

python Testing/module/make_pictures.py docs                 about 5 minutes on one core
python Testing/module/make_pictures.py docs --head FOLDER   keep the digital head there for the next time

Maps, outlines and legends are drawn by Slicer's own libraries. The panel is drawn by Qt with the
stand-ins of the test host, so that in the application it looks a little different.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

import host  # noqa: E402

HEAD = ("--voxel", "1", "--spin-echo", "--seed", "1")
ZOOM_MM = 60.0
PANEL_WIDTH = 470
CACHE = "/home/reader/.cache/Slicer/"


def main() -> None:
    """Make the head, separate it in the panel, and draw."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path, help="folder of the pictures")
    arguments.add_argument("--head", type=Path, help="where the digital head is kept")
    given = arguments.parse_args()
    host.start()
    host.load_module(ROOT / "QSMSeparation" / "QSMSeparation.py")
    widget = host.open_module("QSMSeparation")
    make_head(given.head)
    draw_panel(widget, given.out / "slicer-panel.png")
    widget.ui.applyButton.click()
    draw_progress(widget, given.out / "slicer-progress.png")
    if not host.wait_for(lambda: not widget.logic.running, 3600):
        raise SystemExit("the run does not end")
    if failed := host.dialogs.texts("errorDisplay"):
        raise SystemExit(f"the run failed: {failed}")
    draw_results(widget, given.out)
    host.close_module("QSMSeparation")


def make_head(kept: Path | None) -> None:
    """Click on the sample data."""
    import slicer
    from QSMSeparationPanel import sample_data

    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        (Path(slicer.app.cachePath) / sample_data.FOLDER).symlink_to(kept.resolve())
    sample_data.download(options=HEAD)


def draw_panel(widget: Any, path: Path) -> None:
    """Draw the panel when only Separate is left to press."""
    ui = widget.ui
    if not ui.applyButton.enabled:
        raise SystemExit(f"not ready: {ui.reasonLabel.text}")
    edit = ui.scanFolderEdit
    edit.blockSignals(True)  # the folder of this test host is no place that a reader knows
    chosen, edit.currentPath = edit.currentPath, CACHE + Path(edit.currentPath).name
    ui.resultsButton.collapsed = True
    panel_picture(widget).save(str(path))
    ui.resultsButton.collapsed = False
    edit.currentPath = chosen
    edit.blockSignals(False)


def draw_progress(widget: Any, path: Path) -> None:
    """Draw how far a run is."""
    ui = widget.ui
    reached = lambda: ui.progressBar.value > 300 and "background" in ui.stageLabel.text  # noqa: E731
    if not host.wait_for(lambda: reached() or not widget.logic.running, 1800):
        raise SystemExit("the run does not get on")
    ui.runFrame.grab().save(str(path))


def draw_results(widget: Any, folder: Path) -> None:
    """Draw the views, and the panel beside them."""
    import qt
    import slicer

    ui, manager = widget.ui, slicer.app.layoutManager()
    ui.stageLabel.text = "done"  # without the seconds, which are those of this computer
    for section in (ui.scanButton, ui.lesionsButton, ui.methodButton):
        section.collapsed = True
    manager.resizeViews(460, 420)
    ui.rowButton.click()
    manager.picture()  # views follow the scene from their first picture on
    choose(widget, clearest_rim(widget))
    ui.rowButton.click()
    manager.savePicture(folder / "slicer-row.png")

    ui.remarkEdit.text = "rim on all slices, no vein beside it"
    ui.remarkEdit.editingFinished.emit()
    ui.fourButton.click()
    manager.picture()
    ui.windowComboBox.setCurrentIndex(ui.windowComboBox.findData("narrow"))
    ui.fourButton.click()
    zoom(widget, ZOOM_MM)
    manager.resizeViews(420, 380)
    zoom(widget, ZOOM_MM)
    manager.savePicture(folder / "slicer-lesion.png")

    ui.windowComboBox.setCurrentIndex(ui.windowComboBox.findData("standard"))
    panel = panel_picture(widget)
    side = (panel.height() - 4) // 2
    manager.resizeViews(round(1.1 * side), side)
    ui.fourButton.click()
    views = manager.grab()
    picture = qt.QPixmap(panel.width() + views.width(), panel.height())
    picture.fill(qt.QColor("black"))
    painter = qt.QPainter(picture)
    painter.drawPixmap(0, 0, panel)
    painter.drawPixmap(panel.width(), 0, views)
    painter.end()
    picture.save(str(folder / "slicer-window.png"))
    reduce_colors(folder / "slicer-window.png")


def reduce_colors(file: Path) -> None:
    """Store a picture with 256 colors: greys and a few more, a third of the bytes."""
    from PIL import Image

    with Image.open(file) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def clearest_rim(widget: Any) -> int:
    """Return the number of the largest lesion among those whose rim is surest."""
    sure = ("clear", "probable", "borderline")
    rows = [row for row in widget._controls.results.lesions.rows if row["class_para"] == "rim"]
    best = min(
        rows, key=lambda row: (sure.index(row["confidence_para"]), -float(row["volume_mm3"]))
    )
    return int(best["id"])


def choose(widget: Any, lesion: int) -> None:
    """Choose a row of the lesion table."""
    table = widget.ui.lesionTable
    numbers = [table.item(row, 0).text() for row in range(table.rowCount)]
    table.selectRow(numbers.index(str(lesion)))


def zoom(widget: Any, width_mm: float) -> None:
    """Zoom all views to the chosen lesion."""
    import slicer

    from QSMSeparationLib.mrml import layouts

    row = widget._controls.results.lesions.row()
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        width, height, depth = node.GetFieldOfView()
        node.SetFieldOfView(width_mm, height * width_mm / width, depth)
        node.JumpSliceByCentering(*layouts.center_of(row))


def panel_picture(widget: Any) -> Any:
    """Draw the panel as high as its content needs."""
    import slicer

    panel = widget.parent
    for _ in range(3):  # until the layouts of what was folded have settled
        slicer.app.processEvents()
        panel.resize(PANEL_WIDTH, 100)
        panel.adjustSize()
        panel.resize(PANEL_WIDTH, panel.height)
    return panel.grab()


if __name__ == "__main__":
    main()
