"""The frozen backbone and the processor or GPU that it runs on."""
