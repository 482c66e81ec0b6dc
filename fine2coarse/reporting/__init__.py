"""Pages and pictures, in one style, for studies and for the theory. Imports nothing of ours."""
