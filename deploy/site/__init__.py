"""What `make docs` adds to the pages of docs/: generated tables, and the files of the repository that pages link to."""
