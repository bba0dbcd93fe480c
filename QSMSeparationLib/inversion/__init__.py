"""Dipole inversion: from the local field to net susceptibility, one file a method."""
