"""A head made from a label map of a real person."""
