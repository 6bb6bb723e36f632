"""The console: pages for operators, and the page a run's link opens. It reads, and changes nothing."""
