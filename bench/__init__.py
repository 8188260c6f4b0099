"""Figures of Greenroom; each is a ratio measured in one run: `script/bench`."""
