"""`python -m simfunnel` is the command line."""

from simfunnel.cli import process

process()
