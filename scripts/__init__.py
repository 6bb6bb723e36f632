"""What make calls to prepare, lock and package the project."""
