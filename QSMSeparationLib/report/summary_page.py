"""One page to glance at in a viewer of images: maps, lesions, what they rest on."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume, reorient, resample
from QSMSeparationLib.io.lesion_rows import number_of
from QSMSeparationLib.lesions.classes import CLASSES, class_rgb, plain_class_words

SHOWN = ("chi_para", "chi_dia", "net", "r2prime")
"""Maps of the page, from left to right."""

_WIDTH = 1800
_MARGIN = 30
_GAP = 12
_LEVELS = (0.40, 0.55, 0.70)
"""Heights of slices without lesions, as shares of the brain's."""
_MOST_ROWS = 24
_BACK, _INK, _DIM = (0, 0, 0), (235, 235, 235), (165, 165, 165)
_COLUMNS = (
    ("id", "No.", 70), ("location", "Location", 250), ("volume_mm3", "Volume mm3", 150),
    ("class_para", "Class in chi+", 220), ("confidence_para", "Confidence", 190),
    ("class_dia", "Class in |chi-|", 220), ("confidence_dia", "Confidence", 190),
    ("para_lesion_mean_ppb", "chi+ ppb", 140), ("dia_lesion_mean_ppb", "|chi-| ppb", 140),
    ("net_lesion_mean_ppb", "net ppb", 130),
)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """What is written on the page.

    Parameters
    ----------
    title : str
        First line.
    lines : sequence of str
        What the maps rest on.
    titles : mapping of str to str
        Over the maps, by name.
    """

    title: str
    lines: Sequence[str]
    titles: Mapping[str, str]


def summary_page(
    result: Result,
    labels: Volume | None,
    rows: Sequence[Mapping[str, str]],
    words: Words,
    b0_tesla: float,
) -> NDArray[np.uint8]:
    """Return the page as (rows, columns, RGB).

    Parameters
    ----------
    result : Result
        Maps and mask.
    labels : Volume, optional
        Numbers of lesions.
    rows : sequence of mapping
        Of the lesion table; the reviewer's classes go before the computed ones.
    words : Words
        What is written on it.
    b0_tesla : float
        Field strength, which windows of relaxation rates grow with.
    """
    names = [name for name in SHOWN if name in result.maps]
    upright = {name: reorient(result.volume(name)) for name in names}
    grid = upright[names[0]].geometry
    mask = reorient(Volume(result.mask.astype(np.uint8), result.geometry)).array > 0
    drawn = np.zeros(mask.shape, np.int32)
    if labels is not None:
        drawn = resample(labels, grid, order=0).array.astype(np.int32)
    classes = {int(row["id"]): _class(row, "para") for row in rows}
    box = _box(mask)
    slices = _slices(mask, drawn)
    width = (_WIDTH - 2 * _MARGIN - (len(names) - 1) * _GAP) // len(names)
    parts = [_heading(words)]
    for n, k in enumerate(slices):
        panels = []
        for name in names:
            shown = upright[name].array[k][box] * MAPS[name].scale
            window = MAPS[name].window_at(b0_tesla) or (0.0, 1.0)
            ratio = grid.spacing_mm[1] / grid.spacing_mm[0]
            panel = _panel(shown, drawn[k][box], classes, window, width, ratio)
            head = f"{words.titles[name]}   {window[0]:g} to {window[1]:g}" if n == 0 else ""
            panels.append(_titled(panel, head))
        parts.append(_row_of(panels))
    parts.append(_table(rows))
    return np.asarray(_stacked(parts), dtype=np.uint8)


def _class(row: Mapping[str, str], source: str) -> str:
    """Return the reviewer's class of a lesion where there is one, else the computed one."""
    return row.get(f"review_{source}", "") or row.get(f"class_{source}", "")


def _slices(mask: NDArray[np.bool_], labels: NDArray[np.int32]) -> list[int]:
    """Return slices from top to bottom: those with most of the lesions, apart from each other."""
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    low, high = int(used[0]), int(used[-1])
    apart = max(1, (high - low) // 8)
    area = (labels > 0).sum(axis=(1, 2)).astype(float)
    chosen: list[int] = []
    while len(chosen) < len(_LEVELS) and area.max() > 0:
        k = int(area.argmax())
        chosen.append(k)
        area[max(0, k - apart) : k + apart + 1] = 0
    for level in _LEVELS:
        k = low + round(level * (high - low))
        if len(chosen) < len(_LEVELS) and all(abs(k - other) >= apart for other in chosen):
            chosen.append(k)
    return sorted(chosen, reverse=True)


def _box(mask: NDArray[np.bool_], margin: int = 2) -> tuple[slice, slice]:
    """Return rows and columns of the brain."""
    limits = []
    for axis in (1, 2):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        limits.append(slice(max(0, int(used[0]) - margin), int(used[-1]) + 1 + margin))
    return limits[0], limits[1]


def _panel(
    values: NDArray[np.float32],
    labels: NDArray[np.int32],
    classes: Mapping[int, str],
    window: tuple[float, float],
    width: int,
    ratio: float,
) -> Image.Image:
    """Draw one slice; the patient's right is on the left, as readers expect."""
    low, high = window
    grey = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1) * 255
    size = (width, max(1, round(width * values.shape[0] * ratio / values.shape[1])))
    image = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.array(image.convert("RGB"))
    large = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    inner = large > 0
    for axis in (0, 1):
        for step in (1, -1):
            inner &= np.roll(large, step, axis) == large
    for number in np.unique(large[large > 0]):
        color = class_rgb(classes.get(int(number), ""))
        pixels[(large == number) & ~inner] = np.rint(np.array(color) * 255)
    drawn = Image.fromarray(pixels)
    pen = ImageDraw.Draw(drawn)
    pen.text((6, size[1] // 2 - 12), "R", fill=_INK, font=_font(22))
    for number in np.unique(large[large > 0]):
        at = np.argwhere(large == number)
        pen.text((int(at[:, 1].max()) + 4, int(at[:, 0].min()) - 4), str(number),
                 fill=_INK, font=_font(18), stroke_width=1, stroke_fill=_BACK)  # fmt: skip
    return drawn


def _heading(words: Words) -> Image.Image:
    lines = [line for text in words.lines for line in textwrap.wrap(text, 150)]
    image = Image.new("RGB", (_WIDTH - 2 * _MARGIN, 56 + 28 * len(lines)), _BACK)
    pen = ImageDraw.Draw(image)
    pen.text((0, 0), words.title, fill=_INK, font=_font(36))
    for n, line in enumerate(lines):
        pen.text((0, 52 + 28 * n), line, fill=_DIM, font=_font(22))
    return image


def _titled(panel: Image.Image, title: str) -> Image.Image:
    if not title:
        return panel
    image = Image.new("RGB", (panel.width, panel.height + 34), _BACK)
    ImageDraw.Draw(image).text((0, 2), title, fill=_INK, font=_font(24))
    image.paste(panel, (0, 34))
    return image


def _row_of(panels: Sequence[Image.Image]) -> Image.Image:
    width = sum(panel.width + _GAP for panel in panels) - _GAP
    image = Image.new("RGB", (width, max(panel.height for panel in panels)), _BACK)
    left = 0
    for panel in panels:
        image.paste(panel, (left, 0))
        left += panel.width + _GAP
    return image


def _table(rows: Sequence[Mapping[str, str]]) -> Image.Image:
    """Draw the lesions, the largest first where not all have room."""
    shown = sorted(rows, key=lambda row: -(number_of(row, "volume_mm3") or 0.0))[:_MOST_ROWS]
    shown = sorted(shown, key=lambda row: int(row["id"]))
    left_out = len(rows) - len(shown)
    image = Image.new("RGB", (_WIDTH - 2 * _MARGIN, 40 + 30 * (len(shown) + 2)), _BACK)
    pen = ImageDraw.Draw(image)
    if not rows:
        pen.text((0, 4), "No lesions were given.", fill=_DIM, font=_font(22))
        return image
    left = 0
    for column, title, width in _COLUMNS:
        pen.text((left, 4), title, fill=_DIM, font=_font(22))
        for n, row in enumerate(shown):
            ink = _color(row, column)
            pen.text((left, 38 + 30 * n), _cell(row, column), fill=ink, font=_font(22))
        left += width
    notes = [f"{left_out} smaller lesions are not listed."] if left_out else []
    notes += ["* class of the reviewer"] if any(_reviewed(row) for row in shown) else []
    pen.text((0, 46 + 30 * len(shown)), "   ".join(notes), fill=_DIM, font=_font(20))
    return image


def _reviewed(row: Mapping[str, str]) -> bool:
    return bool(row.get("review_para") or row.get("review_dia"))


def _cell(row: Mapping[str, str], column: str) -> str:
    if column.startswith("class_"):
        source = column.removeprefix("class_")
        words = plain_class_words(_class(row, source), source)
        return f"{words} *" if row.get(f"review_{source}") else words
    value = number_of(row, column)
    return row.get(column, "") if column == "id" or value is None else f"{value:.0f}"


def _color(row: Mapping[str, str], column: str) -> tuple[int, ...]:
    name = _class(row, column.removeprefix("class_")) if column.startswith("class_") else ""
    if name not in CLASSES:
        return _INK
    return tuple(round(255 * part) for part in class_rgb(name))


def _stacked(parts: Sequence[Image.Image]) -> Image.Image:
    height = sum(part.height + _GAP for part in parts) + 2 * _MARGIN
    image = Image.new("RGB", (_WIDTH, height), _BACK)
    top = _MARGIN
    for part in parts:
        image.paste(part, (_MARGIN, top))
        top += part.height + _GAP
    return image


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
