"""The command backtest: what another model would have said of a past window of the archive."""
