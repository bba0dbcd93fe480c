"""A head drawn by formulas: skull, cortex, nuclei, hindbrain, vessels."""
