"""Which model judges a camera, said on the bus, and the record of who changed it."""
