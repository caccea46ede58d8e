"""What is in flight: a frame, what it owes, what it holds, who judges it."""
