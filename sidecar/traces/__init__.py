"""Runs, steps and attempts as spans, and how they are told to a collector of OpenTelemetry."""
