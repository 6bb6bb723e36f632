"""The provider: the credentials a builder saves, and their check."""
