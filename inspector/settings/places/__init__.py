"""Settings of where pictures lie (those that frames name, and those that are kept) and where bundles lie."""
