"""Networks of papers that no well-kept library has right, written by hand, small and faithful."""
