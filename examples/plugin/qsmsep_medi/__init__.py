"""MEDI dipole inversion for QSMSeparation."""
