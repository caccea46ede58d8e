"""Whether a threshold rejects what was asked for: by simulation, and on draws of the development sets."""
