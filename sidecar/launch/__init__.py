"""Starting and keeping what serves: data directory, embedded store, socket, gunicorn and its workers."""
