//! The Endpoint actor: transports of its shard, transactions, module table.
