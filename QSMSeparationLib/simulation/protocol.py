"""How a simulated head is scanned."""

from __future__ import annotations

from dataclasses import dataclass

from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.runtime.errors import InputError


@dataclass(frozen=True)
class Protocol:
    """How the head is scanned.

    Parameters
    ----------
    voxel_mm : tuple of float
        Voxel size along (i, j, k).
    echo_times_s : tuple of float
        Gradient-echo times in seconds.
    spin_echo_times_s : tuple of float
        Spin-echo times in seconds; empty for no spin echo.
    b0_tesla : float
        Field strength.
    snr : float
        Mean brain magnitude of the first echo over the noise SD of one channel;
        ``inf`` for none.
    oblique_deg : float
        Tilt of the slices about the left-right axis.
    tr_s, flip_deg : float
        Repetition time and flip angle of the gradient echo (Ernst equation).
    dr_para, dr_dia : float
        Relaxivities in Hz/ppm at 3 T; scaled to ``b0_tesla``.
    seed : int
        Of noise, shim residual and receive phase.
    """

    voxel_mm: Triple = (1.0, 1.0, 1.0)
    echo_times_s: tuple[float, ...] = (0.005, 0.011, 0.017, 0.023, 0.029)
    spin_echo_times_s: tuple[float, ...] = ()
    b0_tesla: float = 3.0
    snr: float = 100.0
    oblique_deg: float = 0.0
    tr_s: float = 0.033
    flip_deg: float = 15.0
    dr_para: float = DR_HZ_PER_PPM
    dr_dia: float = DR_HZ_PER_PPM
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(0.3 <= v <= 6 for v in self.voxel_mm):
            raise InputError(f"voxel size {self.voxel_mm} mm: choose 0.3 to 6 mm")
        if not 0.2 <= self.b0_tesla <= 15:
            raise InputError(f"field strength {self.b0_tesla:g} T: choose 0.2 to 15 T")
        for name in ("echo_times_s", "spin_echo_times_s"):
            times = getattr(self, name)
            if (
                any(b <= a for a, b in zip((0.0, *times), times, strict=False))
                or max(times, default=0) > 1
            ):
                raise InputError(f"echo times must be positive seconds that increase, got {times}")
        if not self.echo_times_s:
            raise InputError("a scan needs at least one echo time")
        if not self.snr > 0:
            raise InputError(f"SNR must be positive, got {self.snr:g}")
        if not -60 <= self.oblique_deg <= 60:
            raise InputError(f"tilt of {self.oblique_deg:g} degrees: choose -60 to 60")

    @property
    def fine_spacing_mm(self) -> float:
        """Spacing of the head's grid: half the smallest voxel side."""
        return min(self.voxel_mm) / 2
