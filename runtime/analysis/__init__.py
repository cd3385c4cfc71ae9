"""From a frame of scores to estimates with their level, interval and verdict."""
