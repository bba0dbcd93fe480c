"""Results of a run as nodes of a Slicer scene: volumes, lesions, tables, views.

The only part of the library that imports ``slicer`` and ``vtk``. Nothing here imports torch.
"""
