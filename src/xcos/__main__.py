"""``python -m xcos``."""

import sys

from xcos.cli import main

sys.exit(main())
