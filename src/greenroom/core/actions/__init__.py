"""What a program does to a desktop."""
