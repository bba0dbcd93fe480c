"""The maps of this project, one row each; every other table of maps is a filter over these rows.

Files hold ppm and Hz with signed chi-. Screens and tables show susceptibility in ppb and
chi- as |chi-|, so that "bright" and "more" mean the same in every map: a shown value is the
stored one times :attr:`Quantity.scale`. Windows, spans and plausible ranges are those of 3 T.
"""

from __future__ import annotations

from dataclasses import dataclass

Window = tuple[float, float]

_B0_T = 3.0
"""Field strength of the windows below; those of relaxation rates grow linearly with B0."""


@dataclass(frozen=True)
class Code:
    """A coded concept, as DICOM and MRML keep it."""

    value: str
    scheme: str
    meaning: str


PRESETS = {"standard": "Standard", "wide": "Wide (7 T, iron)", "narrow": "Narrow (lesions)"}
"""Titles of the sets of windows, by name."""

UNIT_CODES = {
    "ppm": Code("[ppm]", "UCUM", "parts per million"),
    "ppb": Code("[ppb]", "UCUM", "parts per billion"),
    "Hz": Code("Hz", "UCUM", "hertz"),
    "s": Code("s", "UCUM", "seconds"),
    "1": Code("1", "UCUM", "no units"),
}
"""Units that have a code; ``arbitrary`` has none."""


@dataclass(frozen=True)
class Plausible:
    """Limits of the mean magnitude over a brain, far beyond what tissue can have.

    Parameters
    ----------
    low, high : float
        In the unit of the file, at 3 T.
    meaning : str
        The unit in words, with what to do about the likely other one.
    """

    low: float
    high: float
    meaning: str


@dataclass(frozen=True)
class Quantity:
    """One kind of map.

    Parameters
    ----------
    name : str
        Key of ``Result.maps`` and ``Truth.maps``, attribute of ``Maps``.
    unit : str
        Unit in files.
    bids : str
        Suffix of its file with the entities before it.
    title : str
        Heading on pages and in pictures.
    plain_title : str
        The same in ASCII, for views whose fonts have no Greek letters; without bars, which VTK
        reads as columns.
    description : str
        For the sidecar.
    shown_unit : str
        Unit on screens and in tables; that of the file when empty.
    scale : float
        Shown value over stored value.
    window : tuple of float, optional
        Lowest and highest value shown at first, in the shown unit; None where none is fixed.
    wide, narrow : tuple of float, optional
        Windows for strong sources (7 T, iron) and for lesions of white matter.
    span : tuple of float, optional
        Range that a report keeps, wider than any window; maps without one are not in reports.
    color : {"grey", "diverging"}
        Color map at first.
    grows_with_b0 : bool
        Values and windows are proportional to the field strength.
    column : str
        Start of its columns in lesion tables; empty for maps that are not measured in lesions.
    plausible : Plausible, optional
        Check of maps that a user gives.
    code : Code, optional
        Coded quantity.
    """

    name: str
    unit: str
    bids: str
    title: str
    plain_title: str
    description: str
    shown_unit: str = ""
    scale: float = 1.0
    window: Window | None = None
    wide: Window | None = None
    narrow: Window | None = None
    span: Window | None = None
    color: str = "grey"
    grows_with_b0: bool = False
    column: str = ""
    plausible: Plausible | None = None
    code: Code | None = None

    @property
    def unit_on_screen(self) -> str:
        """Unit of shown values."""
        return self.shown_unit or self.unit

    def window_at(self, b0_tesla: float = _B0_T, preset: str = "standard") -> Window | None:
        """Return the window of a preset: ``standard``, ``wide`` or ``narrow``.

        Rates keep their window below 3 T, where it is wide enough anyway.
        """
        chosen = {"wide": self.wide, "narrow": self.narrow}.get(preset) or self.window
        return None if chosen is None else self._at(chosen, b0_tesla)

    def span_at(self, b0_tesla: float = _B0_T) -> Window:
        """Return the range that a report keeps, of a map that it can show."""
        if self.span is None:
            raise ValueError(f"'{self.name}' is not shown in reports")
        return self._at(self.span, b0_tesla)

    def report_window(self, b0_tesla: float = _B0_T, preset: str = "standard") -> Window:
        """Return the window of a map in a report: a preset's, or all that the report keeps."""
        return self.window_at(b0_tesla, preset) or self.span_at(b0_tesla)

    def _at(self, limits: Window, b0_tesla: float) -> Window:
        if not self.grows_with_b0:
            return limits
        factor = max(1.0, b0_tesla / _B0_T)
        return limits[0] * factor, limits[1] * factor


_CHI = Code("126396", "DCM", "Magnetic Susceptibility")
_PPM_TO_PPB = 1000.0

_ROWS = (
    Quantity(
        "net", "ppm", "Chimap", "net χ", "net chi", "net magnetic susceptibility (QSM)",
        shown_unit="ppb", scale=_PPM_TO_PPB,
        window=(-100, 100), wide=(-150, 150), narrow=(-50, 50), span=(-200, 200), column="net",
        plausible=Plausible(1e-6, 1.0, "a susceptibility map in ppm (divide ppb by 1000)"),
        code=_CHI,
    ),
    Quantity(
        "chi_para", "ppm", "desc-paramagnetic_Chimap", "χ+", "chi+",
        "paramagnetic susceptibility, chi+ >= 0", shown_unit="ppb", scale=_PPM_TO_PPB,
        window=(0, 150), wide=(0, 250), narrow=(0, 60), span=(0, 250), column="para",
        plausible=Plausible(0.0, 1.0, "chi+ in ppm (divide ppb by 1000)"), code=_CHI,
    ),
    Quantity(
        "chi_dia", "ppm", "desc-diamagnetic_Chimap", "|χ−|", "abs chi-",
        "diamagnetic susceptibility, chi- <= 0", shown_unit="ppb", scale=-_PPM_TO_PPB,
        window=(0, 100), wide=(0, 150), narrow=(0, 60), span=(0, 150), column="dia",
        plausible=Plausible(0.0, 1.0, "chi- in ppm (divide ppb by 1000)"), code=_CHI,
    ),
    Quantity(
        "r2star", "Hz", "R2starmap", "R2*", "R2*", "effective transverse relaxation rate R2*",
        window=(0, 60), span=(0, 100), grows_with_b0=True, column="r2star",
        plausible=Plausible(3.0, 200.0, "R2* in Hz = 1/s (multiply 1/ms by 1000)"),
        code=Code("126395", "DCM", "R2*"),
    ),
    Quantity(
        "r2prime", "Hz", "R2primemap", "R2′", "R2'",
        "reversible transverse relaxation rate R2' = R2* - R2",
        window=(0, 30), span=(0, 50), grows_with_b0=True, column="r2prime",
        plausible=Plausible(0.2, 80.0, "R2' in Hz = 1/s (multiply 1/ms by 1000)"),
    ),
    Quantity(
        "r2", "Hz", "R2map", "R2", "R2", "irreversible transverse relaxation rate R2",
        window=(0, 40), grows_with_b0=True, column="r2",
        plausible=Plausible(3.0, 100.0, "R2 in Hz = 1/s (multiply 1/ms by 1000)"),
        code=Code("126394", "DCM", "R2"),
    ),
    Quantity(
        "net_inversion", "ppm", "desc-inversion_Chimap", "net χ of the inversion",
        "net chi of the inversion", "net susceptibility of the inversion",
        shown_unit="ppb", scale=_PPM_TO_PPB,
        window=(-100, 100), wide=(-150, 150), narrow=(-50, 50), code=_CHI,
    ),
    Quantity(
        "chi_para_sd", "ppm", "stat-sd_desc-paramagnetic_Chimap", "SD of χ+", "SD of chi+",
        "standard deviation of the error of chi+", shown_unit="ppb", scale=_PPM_TO_PPB,
        window=(0, 30), span=(0, 60),
    ),
    Quantity(
        "chi_dia_sd", "ppm", "stat-sd_desc-diamagnetic_Chimap", "SD of |χ−|", "SD of abs chi-",
        "standard deviation of the error of chi-", shown_unit="ppb", scale=_PPM_TO_PPB,
        window=(0, 30), span=(0, 60),
    ),
    Quantity(
        "r2prime_sd", "Hz", "stat-sd_R2primemap", "SD of R2′", "SD of R2'",
        "standard deviation of the error of R2'", window=(0, 5), grows_with_b0=True,
    ),
    Quantity(
        "local_field", "ppm", "desc-local_fieldmap", "local field", "local field",
        "local field, background removed", shown_unit="ppb", scale=_PPM_TO_PPB, window=(-50, 50),
        # A brain has 0.005 to 0.03 ppm; in Hz even a quiet one at 1.5 T has 0.3.
        plausible=Plausible(2e-4, 0.1, "a local field in ppm (0.0002 to 0.1)"),
    ),
    Quantity(
        "local_field_in_mask", "ppm", "desc-inner_fieldmap", "local field of the mask",
        "local field of the mask", "local field of sources in the mask alone",
        shown_unit="ppb", scale=_PPM_TO_PPB, window=(-50, 50),
    ),
    Quantity(
        "local_field_isotropic", "ppm", "desc-isotropic_fieldmap", "isotropic local field",
        "isotropic local field", "local field of chi+ + chi- alone, as sources without direction",
        shown_unit="ppb", scale=_PPM_TO_PPB, window=(-50, 50),
    ),
    Quantity(
        "total_field", "ppm", "desc-total_fieldmap", "total field", "total field", "total field",
        shown_unit="ppb", scale=_PPM_TO_PPB, window=(-1000, 1000),
    ),
    Quantity(
        "residual", "ppm", "desc-residual_fieldmap", "residual field", "residual field",
        "field not explained by the net susceptibility",
        shown_unit="ppb", scale=_PPM_TO_PPB, window=(-20, 20),
    ),
    Quantity(
        "t1", "s", "T1map", "T1", "T1", "longitudinal relaxation time T1 at 3 T", window=(0, 3),
        code=Code("113063", "DCM", "T1 Map"),
    ),
    Quantity(
        "water", "1", "PDmap", "water", "water", "water content relative to pure water",
        window=(0.5, 1.1),
    ),
    Quantity(
        "trust", "1", "desc-reliability_probseg", "trust", "trust",
        "how far the field of a voxel can be trusted", window=(0, 1),
    ),
    Quantity(
        "magnitude", "arbitrary", "desc-combined_magnitude", "magnitude", "magnitude",
        "root of the summed squared echoes",
    ),
    Quantity(
        "s0", "arbitrary", "desc-te0_magnitude", "magnitude at TE 0", "magnitude at TE 0",
        "of the gradient echo, as its decay has it",
    ),
    Quantity("mask", "1", "desc-brain_mask", "brain mask", "brain mask", "brain mask"),
)  # fmt: skip

QUANTITIES: dict[str, Quantity] = {row.name: row for row in _ROWS}
"""Every map by name, in the order in which maps are shown and written."""

MAPS: dict[str, Quantity] = {name: row for name, row in QUANTITIES.items() if name != "mask"}
"""Maps of numbers: all but the mask."""

IN_REPORT: tuple[str, ...] = tuple(name for name, row in MAPS.items() if row.span)
"""Maps that a report can show."""

SOURCES: tuple[str, ...] = ("chi_para", "chi_dia", "net")
"""The susceptibility maps that lesions are classified and compared by."""

SD_OF: dict[str, str] = {"chi_para": "chi_para_sd", "chi_dia": "chi_dia_sd"}
"""The map of the SD of a source, by the source."""

IN_LESIONS: tuple[str, ...] = (
    *SOURCES,
    *(name for name, row in MAPS.items() if row.column and name not in SOURCES),
)
"""Maps that are measured in lesions, in the order of their columns."""
