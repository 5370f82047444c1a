"""The API over a real socket, and its client."""
