"""Networks: architectures, their inputs, tiled inference, and weight files."""
