"""From runs to outcomes: packs are planned, trained as one tensor program, and read."""
