"""What a finished picture shows, and what becomes of it; the policy that a server enforces."""
