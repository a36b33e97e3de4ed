"""The rollback handler: a webhook in, own evidence, a state set on a target, proof from the traffic."""
