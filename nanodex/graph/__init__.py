"""The graph as an artifact: its tables, and one reader for every stage that needs it."""
