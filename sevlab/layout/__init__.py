"""The engine: declare a byte structure once, then parse, build, show and compare it. It knows no format."""
