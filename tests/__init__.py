"""Tests of emailsync; they mirror the code."""
