"""What methods share: window, noise, edges, refinement, coordinate networks."""
