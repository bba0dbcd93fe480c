"""What travels between the stages: Volume, Scan, Maps, Result, Geometry, and the table of quantities."""
