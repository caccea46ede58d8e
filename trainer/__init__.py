"""The training job: archived ok images in; a calibrated model bundle and a report out."""
