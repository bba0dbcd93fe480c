"""Susceptibility source separation of gradient-echo MRI: chi+, chi- and net chi.

The library behind the QSMSeparation extension of 3D Slicer. It runs headless as
``python -m QSMSeparationLib`` or ``qsmsep``. Importing this package imports no torch.
"""

__version__ = "0.1.0"
