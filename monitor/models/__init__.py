"""Learned models: their files, the cards that go with them, and the library that runs them (decisions 5 and 9)."""
