"""The demo: two cameras, two models and a broker on this machine, driven by the public commands."""
