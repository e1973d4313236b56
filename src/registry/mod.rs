//! The registry: presentities with their publications, subscriptions and bindings of one shard.
