"""What any room may use: files that appear whole, random states. This file imports nothing."""
