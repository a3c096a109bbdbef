"""``python -m medchain``: the command line."""

import sys

from medchain.cli import main

sys.exit(main())
