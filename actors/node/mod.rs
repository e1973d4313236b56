//! Nodes: which actors a role is made of. Only this module starts actors.
