"""Forward models: dipole convolution, relaxation, signal equations."""
