"""One trace a frame: when its verdict is acknowledged, the times that its stages took become spans."""
