"""The region network: learning it, measuring it, and labels of one's own to learn from."""
