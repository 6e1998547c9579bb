"""Look through annotation files and their images before training, and report what is wrong."""
