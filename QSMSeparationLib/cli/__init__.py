"""The command line: one file a command, their shared arguments, the parser."""
