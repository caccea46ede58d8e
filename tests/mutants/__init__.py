"""Changes the code in small ways, one at a time, and runs the unit tests that meet each: what no test notices is a gap."""
