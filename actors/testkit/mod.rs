//! Test kit: virtual time, probe actors, memory network, scripted peers.
