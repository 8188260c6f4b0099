"""The command greenroom."""
