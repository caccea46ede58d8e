"""Exchanges models while frames flow: follows releases, loads bundles beside the device's work, exchanges routes between two frames."""
