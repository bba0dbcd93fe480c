"""Progress, errors, device and memory: what every room may use."""
