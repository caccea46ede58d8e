"""From encoded pictures to the network's input."""
