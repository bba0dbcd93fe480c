"""Physical constants and defaults, each with its source."""

GYROMAGNETIC_MHZ_PER_T = 42.577478518
"""Gyromagnetic ratio of the proton over 2 pi (CODATA 2018)."""

DR_HZ_PER_PPM = 114.0
"""Default relaxivity of R2' at 3 T, for chi+ and chi- alike (Kim et al. 2025)."""

R2STAR_HZ_PER_PPM = 274.0
"""Relaxivity of R2* at 3 T in R2*-QSM (Dimov et al. 2022)."""

REFERENCE_B0_T = 3.0
"""Field strength at which the relaxivities above are given; they scale linearly with B0."""

R2PRIME_ESTIMATE_B0_T = (2.8, 3.2)
"""Field strengths at which R2' may be estimated from R2* by a network trained at 3 T."""


def hz_per_ppm(b0_tesla: float) -> float:
    """Return the frequency in Hz of a field of 1 ppm."""
    return GYROMAGNETIC_MHZ_PER_T * b0_tesla


def relaxivity(dr_3t_hz_per_ppm: float, b0_tesla: float) -> float:
    """Scale a relaxivity in Hz/ppm from 3 T to another field strength (linear in B0)."""
    return dr_3t_hz_per_ppm * b0_tesla / REFERENCE_B0_T
