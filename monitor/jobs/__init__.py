"""Work with an end: replay, offline processing, and later training and evaluation."""
