"""A simulated line: parts, a conveyor and a PLC, to try a gate with."""
