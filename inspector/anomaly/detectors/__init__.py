"""What decides how unlike the ok images a position is: one protocol, one module a method."""
