"""Lesion analysis: what every lesion looks like in chi+ and chi-, and how sure that is."""

from QSMSeparationLib.lesions.analysis import analyze_lesions
from QSMSeparationLib.lesions.classify import Thresholds
from QSMSeparationLib.lesions.results import LesionReport
from QSMSeparationLib.lesions.table import lesion_table

__all__ = ["LesionReport", "Thresholds", "analyze_lesions", "lesion_table"]
