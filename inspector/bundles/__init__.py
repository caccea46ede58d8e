"""Bundles in a store by URL, and the cache that they are fetched to. Blocking: on threads of their own."""
