"""Real servers for tests: private, on loopback, on free ports, gone when the test run is gone."""
