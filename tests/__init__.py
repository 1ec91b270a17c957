"""The tests of Sluis; tests/support holds what several of them use."""
