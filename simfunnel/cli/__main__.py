"""`python -m simfunnel.cli` is the command line too."""

import sys

from simfunnel.cli import main

sys.exit(main())
