"""What is seen of the service, and by whom: pages of metrics and health, heartbeats, the watchdog, traces."""
