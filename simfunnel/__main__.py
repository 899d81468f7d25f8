"""`python -m simfunnel` is the command line."""

import sys

from simfunnel.cli import main

sys.exit(main())
