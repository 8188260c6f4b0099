"""The actions that programs perform on desktops."""
