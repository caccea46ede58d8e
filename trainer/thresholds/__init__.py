"""Thresholds from scores alone, whatever gave them: from those of ok images, or HALCON's from labelled ones."""
