"""Tissue and nuclei of a brain image of any contrast: labels, the mask by them, regions.

``labels`` names the structures, ``segment`` finds them with ``anatomy-net``, ``mask`` makes
the brain mask at the resolution of the image, ``regions`` measures maps in structures.
"""
