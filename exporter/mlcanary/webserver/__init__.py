"""HTTP server that every mlcanary process shares: TLS, authentication, health endpoints, clean shutdown."""
