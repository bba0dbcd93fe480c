"""What the panel of the module is made of. Imported by the module once the library can be found."""
