"""Thresholds from scores alone, wherever they come from: from scores of ok images, or by HALCON's rules from labelled ones."""
