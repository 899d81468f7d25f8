"""Engines: each takes a compiled plan and returns flat records, and counts nothing."""
