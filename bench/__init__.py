"""Figures of Greenroom, each a ratio in one run: `script/bench`."""
