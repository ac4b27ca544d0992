"""python -m segkit.cli: segkit, where it is not installed."""

import sys

from segkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
