"""``python -m QSMSeparationLib``: the same as the command ``qsmsep``."""

import sys

from QSMSeparationLib.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
