"""Tests of what both halves share; one folder for each room."""
