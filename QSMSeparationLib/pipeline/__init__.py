"""The one place where stages are wired: a scan or maps in, a Result out."""
