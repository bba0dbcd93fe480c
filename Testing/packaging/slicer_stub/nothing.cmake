# Makes the package of the extension: not needed to install it.
