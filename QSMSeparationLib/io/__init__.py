"""Files to Volume and Scan, and back."""
