"""Settings of what can be seen of the service: metrics and health, heartbeats, the watchdog, traces."""
