"""The detectors, which tell how unlike the ok images a position is: one protocol, and a module for each method."""
