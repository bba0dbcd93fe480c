"""Methods against truth: simulated cases, metrics, scores of lesions, the demonstration."""
