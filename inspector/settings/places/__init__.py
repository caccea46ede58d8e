"""Settings of where pictures lie, those that frames only name and those that are kept, and of where bundles do."""
