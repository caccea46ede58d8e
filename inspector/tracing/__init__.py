"""One trace for each frame: when its verdict is acknowledged, the times of its stages become spans."""
