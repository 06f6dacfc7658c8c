"""The ground floor: config validation, run folder, seeding, checkpoints, parallel map."""
