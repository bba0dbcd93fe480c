"""The digital head, its lesions, and the scanner that images it.

``anatomy`` (procedural or from a label map) -> ``tissues`` (values drawn for a person)
-> ``lesions`` -> ``rasterize`` (maps on a fine grid) -> ``scanner`` (field, signal, voxels).
"""
