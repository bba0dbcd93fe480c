"""Rows of the lesion table and lesion labels to the lesions of DICOM objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.quantities import IN_LESIONS, MAPS, UNIT_CODES, Code
from QSMSeparationLib.io.dicom_out.findings import SCHEME, Answer, Lesion, Remark, Value
from QSMSeparationLib.io.dicom_out.study import Study
from QSMSeparationLib.io.lesion_rows import number_of
from QSMSeparationLib.lesions.classes import plain_class_words

_VOLUME = Code("118565006", "SCT", "Volume")
_DIAMETER = Code("81827009", "SCT", "Diameter")
_CUBIC_MM = Code("mm3", "UCUM", "cubic millimeter")
_MM = Code("mm", "UCUM", "millimeter")
_MEAN = Code("373098007", "SCT", "Mean")
_LOCATION = Code("location", SCHEME, "Location of lesion")
_NAME = Code("name", SCHEME, "Name of lesion")
_REMARK = Code("remark", SCHEME, "Remark of the reviewer")
_SOURCE_TITLES = {"para": "chi+", "dia": "|chi-|"}
_QUESTIONS = {
    "class": "Class in {}",
    "confidence": "Confidence of the class in {}",
    "decided": "Data decide the class in {}",
    "review": "Class in {} by the reviewer",
}
_LONGEST_MEANING = 64
_LONGEST_VALUE = 16


def lesions_of(
    rows: Sequence[Mapping[str, str]],
    labels: NDArray[Any],
    voxel_mm3: float,
    study: Study,
    without_free_text: bool,
) -> list[Lesion]:
    """Return the lesions of a label map with what the table knows of them.

    Parameters
    ----------
    rows : sequence of mapping
        Of the lesion table, as text; lesions without a row have their volume alone.
    labels : ndarray
        Numbers of lesions.
    voxel_mm3 : float
        Volume of a voxel.
    study : Study
        Where they go.
    without_free_text : bool
        Leave out what the user typed, which may tell who it is.
    """
    known = {int(row["id"]): row for row in rows}
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    return [
        Lesion(
            number=int(number),
            tracking_uid=study.lasting_uid("lesion", int(number)),
            values=(Value(_VOLUME, count * voxel_mm3, _CUBIC_MM), *_values(row)),
            answers=tuple(_answers(row)),
            remarks=tuple(_remarks(row, without_free_text)),
        )
        for number, count in zip(numbers, counts, strict=True)
        for row in [known.get(int(number), {})]
    ]


def _values(row: Mapping[str, str]) -> list[Value]:
    found = [_value(row, "diameter_mm", _DIAMETER, _MM)]
    for name in IN_LESIONS:
        quantity = MAPS[name]
        title = "|chi-|" if name == "chi_dia" else quantity.plain_title
        unit = UNIT_CODES[quantity.unit_on_screen]
        whole = f"{quantity.column}_lesion_mean_{quantity.unit_on_screen.lower()}"
        found.append(_value(row, whole, Code(name, SCHEME, f"{title} of the lesion"), unit, _MEAN))
        contrast = Code(f"{name}_nawm", SCHEME, f"{title} of the core minus NAWM")
        found.append(_value(row, f"{quantity.column}_core_minus_nawm_ppb", contrast, unit))
    return [value for value in found if value is not None]


def _value(
    row: Mapping[str, str], column: str, concept: Code, unit: Code, derivation: Code | None = None
) -> Value | None:
    number = number_of(row, column)
    return None if number is None else Value(concept, number, unit, derivation)


def _answers(row: Mapping[str, str]) -> list[Answer]:
    found = []
    for question, words in _QUESTIONS.items():
        for source, title in _SOURCE_TITLES.items():
            column = f"{question}_{source}"
            said = row.get(column, "")
            if said:
                is_class = question in ("class", "review")
                meaning = plain_class_words(said, source) if is_class else said
                answer = Code(_short(said), SCHEME, meaning[:_LONGEST_MEANING])
                found.append(Answer(Code(column, SCHEME, words.format(title)), answer))
    return found


def _remarks(row: Mapping[str, str], without_free_text: bool) -> list[Remark]:
    columns = {"location": _LOCATION}
    if not without_free_text:
        columns |= {"name": _NAME, "remark": _REMARK}
    return [Remark(code, row[column]) for column, code in columns.items() if row.get(column)]


def _short(word: str) -> str:
    """Return a word as the value of a code."""
    return "_".join(word.split())[:_LONGEST_VALUE]
