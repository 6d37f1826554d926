"""python -m emprot_core is emprot-run."""

import sys

from emprot_core.cli import main

sys.exit(main())
