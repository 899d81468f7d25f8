"""Backtests: past forecasts, made with what was known then, scored by what came."""
