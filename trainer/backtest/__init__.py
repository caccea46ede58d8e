"""The command backtest: what another model would have said about a past time window of the archive."""
