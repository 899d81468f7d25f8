"""`python -m simfunnel.cli` is the command line too."""

from simfunnel.cli import process

process()
