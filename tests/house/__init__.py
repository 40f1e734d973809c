"""Rules of this repository that no linter knows."""
