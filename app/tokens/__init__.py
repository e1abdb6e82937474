"""MaaS tokens: ServiceAccounts that are issued, kept in view, verified and revoked."""
