"""The ports of the gate: lines of text and Modbus TCP."""
