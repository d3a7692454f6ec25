"""``python -m flambeau.openness``."""

import sys

from flambeau.openness.cli import main

sys.exit(main(sys.argv[1:]))
