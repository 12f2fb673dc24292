"""What tests of the whole way share: an instance of the orchestrator, driven as a user would."""
